import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { isErrno } from '#base/errors.ts';
import { RecordStore } from './records.ts';

interface Plain {
  readonly id: string;
  readonly state: string;
}

/** Until the file system of `dir` takes no more. */
function fill(dir: string): void {
  for (let i = 0, size = 64 * 1024; ; i++) {
    try {
      writeFileSync(join(dir, `fill-${i}`), Buffer.alloc(size));
    } catch (error) {
      if (!isErrno(error, 'ENOSPC')) throw error;
      if (size === 1) return;
      size = 1;
    }
  }
}

const skip = process.getuid?.() === 0 ? false : 'mounts need root';
await t.test('putOrRemember(): a full disk does not undo an end', { skip }, (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'bareboat-records-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=128k', 'tmpfs', dir]);
  t.teardown(() => {
    execFileSync('umount', [dir]);
    rmdirSync(dir);
  });
  const store = new RecordStore<Plain>(join(dir, 'records'));
  store.put({ id: 'a', state: 'running' });
  fill(dir);
  t.throws(() => store.put({ id: 'b', state: 'created' }), { code: 'NO_SPACE' });
  t.equal(store.get('b'), undefined, 'what cannot be written is not begun');
  t.equal(store.putOrRemember({ id: 'a', state: 'exited' }), false);
  t.match(store.get('a'), { state: 'exited' });
  const next = new RecordStore<Plain>(join(dir, 'records'));
  next.load();
  t.match(next.get('a'), { state: 'running' }, 'the next start finds out by itself');
  t.end();
});
