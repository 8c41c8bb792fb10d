/** A test that is killed takes along what it started. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import t from 'tap';
import { waitFor } from './store-process.ts';

const CHILD = new URL('./tied-child.ts', import.meta.url).href;
const PARENT = `
  import { spawnTied } from '${CHILD}';
  const child = spawnTied('sleep', ['60'], { stdio: 'ignore' });
  console.log(child.pid);
`;

/** Whether a process of this id runs; a zombie does not. */
function runs(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

t.test('spawnTied() ends the child with its parent, even a killed one', async (t) => {
  const args = ['--no-warnings', '--input-type=module', '--eval', PARENT];
  const parent = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [text] = (await once(parent.stdout, 'data')) as [Buffer]; // One line.
  const pid = Number(text.toString());
  t.ok(runs(pid));
  parent.kill('SIGKILL');
  await waitFor(() => Promise.resolve(!runs(pid)));
  t.pass('it is gone');
});
