/** BootRecord: what each way to end leads to at the next start. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { BootRecord } from './boot-record.ts';

function scene(t: Test) {
  const stateDir = mkdtempSync(join(tmpdir(), 'bareboat-boot-'));
  t.teardown(() => rmSync(stateDir, { recursive: true }));
  const noteFile = join(stateDir, 'note');
  const start = (isFirst = true) => new BootRecord({ stateDir, noteFile, isFirst });
  return { stateDir, noteFile, start };
}

t.test('BootRecord tells how the last run ended', async (t) => {
  const { start, stateDir } = scene(t);
  const first = start();
  t.equal(first.reason, 'power-on', 'the first start of its life');
  first.end('reboot');
  t.equal(start().reason, 'reboot');
  const third = start();
  t.equal(third.reason, 'crash', 'nobody ended it');
  third.end('powerOff');
  t.equal(start().reason, 'power-on');
  writeFileSync(join(stateDir, 'last-run'), 'runn');
  t.equal(start().reason, 'unknown', 'a damaged record');
});

t.test('BootRecord tells the same to later supervisors of a boot', async (t) => {
  const { start } = scene(t);
  start().end('reboot');
  t.equal(start().reason, 'reboot');
  t.equal(start(false).reason, 'reboot');
  t.equal(start(false).reason, 'reboot');
});

t.test('BootRecord outlives a disk that takes nothing', async (t) => {
  const { noteFile, stateDir } = scene(t);
  const missing = join(stateDir, 'missing');
  const record = new BootRecord({ stateDir: missing, noteFile, isFirst: true });
  t.equal(record.reason, 'power-on');
  record.end('reboot');
});

t.test('BootRecord knows nothing without STATE', async (t) => {
  const { noteFile } = scene(t);
  const record = new BootRecord({ stateDir: undefined, noteFile, isFirst: true });
  t.equal(record.reason, 'unknown');
  record.end('reboot');
});
