/**
 * What every test of the image begins and ends with: the image, a scratch folder, a machine that is not
 * started yet. When something failed, the end of the console and of the units' logs is part of the report.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { errorText } from '#base/errors.ts';
import { ensureImage } from './image-build.ts';
import { machineFiles } from './machine-files.ts';
import { MachineRun } from './machine-run.ts';
import { Machine } from './qemu.ts';
import { Steps } from './steps.ts';

const CONSOLE_LINES = 60;
const LOG_LINES = 40;
const UNITS = ['gateway', 'control', 'agent'];

/** QEMU is installed; without it no test of the image can run. */
export function hasQemu(): boolean {
  const programs = ['/usr/bin/qemu-system-x86_64', '/usr/bin/qemu-system-aarch64'];
  return programs.some((path) => existsSync(path));
}

/** A folder that is gone after the tests of `t`, together with the machine that runs in `NAME/`. */
export function scratchFolder(t: Test, name: string): string {
  const scratch = mkdtempSync(join(tmpdir(), 'bareboat-vm-'));
  const end = async () => {
    await new Machine(join(scratch, name)).kill();
    rmSync(scratch, { recursive: true, force: true });
  };
  t.teardown(end);
  // A runner that has lost its patience must not leave a machine behind.
  process.once('SIGTERM', () => {
    end().then(
      () => process.exit(143),
      () => process.exit(143),
    );
  });
  return scratch;
}

export async function openTestMachine(t: Test): Promise<MachineRun> {
  const steps = new Steps((line) => t.comment(line));
  const image = await ensureImage(steps);
  const scratch = scratchFolder(t, 'run');
  const run = await MachineRun.open(machineFiles(scratch, 'run'), image, steps);
  let reported = false;
  t.afterEach(async (t) => {
    if (t.passing() || reported) return;
    reported = true;
    await report(t, run);
  });
  return run;
}

/** Prints what tells why a test failed. */
async function report(t: Test, run: MachineRun): Promise<void> {
  const tail = (title: string, text: string, lines: number) =>
    t.comment(`${title}:\n${text.trimEnd().split('\n').slice(-lines).join('\n')}`);
  tail('console', run.machine.console(), CONSOLE_LINES);
  if (!run.machine.isRunning()) return;
  for (const unit of UNITS) {
    try {
      tail(unit, await run.operator.bareboat('logs', unit), LOG_LINES);
    } catch (error) {
      t.comment(`${unit}: no log: ${errorText(error)}`);
    }
  }
}
