/**
 * `make run`, `make stop`, `make forward`: the image as a machine under QEMU, configured by the operator's
 * own path, with a sample that is served.
 *   run.ts up                 from whatever is there to a served page; the machine goes on running
 *   run.ts stop               powers it off
 *   run.ts forward PORT       forwards a port of 127.0.0.1 to PORT of the machine
 * FAST=1 lets QEMU load the kernel instead of the firmware. BAREBOAT_OUT is where the machine lives
 * instead of out/; the tests of `make run` set it.
 */
import { mkdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { errorText } from '#base/errors.ts';
import { ensureImage, IMAGE_DIR, OUT } from './image-build.ts';
import { machineFiles, readRecord } from './machine-files.ts';
import { MachineRun } from './machine-run.ts';
import { freePort } from './ports.ts';
import { Machine } from './qemu.ts';
import { Steps } from './steps.ts';

const POWER_OFF_MS = 120_000;

const steps = new Steps((line) => console.log(line));
const home = process.env['BAREBOAT_OUT'] ?? OUT;
const files = machineFiles(home, 'run');
const [verb, argument] = process.argv.slice(2);

async function up(): Promise<void> {
  mkdirSync(home, { recursive: true });
  const run = await MachineRun.open(files, await ensureImage(steps), steps);
  const page = await run.up({ fast: process.env['FAST'] === '1' });
  console.log(`\n${run.sampleUrl} serves:\n\n${page}`);
  const short = (path: string) => {
    const fromHere = relative(process.cwd(), path);
    return fromHere.startsWith('..') ? path : fromHere;
  };
  const kubectl = `${short(join(OUT, 'bin/kubectl'))} --kubeconfig ${short(files.kubeconfig)}`;
  console.log('The machine goes on running. Type next:');
  console.log(`  ${kubectl} get pods -A -o wide`);
  console.log(`  ${kubectl} scale deployment/sample --replicas=3`);
  console.log(`  curl ${run.sampleUrl}`);
  console.log(`  ./bareboat --config ${short(files.clientConfig)} status`);
  console.log('  make forward PORT=30081    another port of the machine');
  console.log('  make stop                  power off; make run goes on with the same disk');
}

async function stop(): Promise<void> {
  const machine = new Machine(files.dir);
  if (!machine.isRunning()) {
    console.log('no machine runs');
    return;
  }
  try {
    await steps.run('powering off', files.serialLog, () => machine.powerOff(POWER_OFF_MS));
  } finally {
    await machine.kill(); // What does not end in order loses its power.
  }
}

async function forward(): Promise<void> {
  const guest = Number(argument);
  if (!Number.isInteger(guest) || guest < 1 || guest > 65535) {
    throw new Error(`PORT=${argument ?? ''}: expected a port of the machine, 1 to 65535`);
  }
  const record = await readRecord(files);
  const run = await MachineRun.open(files, IMAGE_DIR, new Steps(() => {}));
  const known = record.ports[guest];
  const host = known ?? (await freePort());
  if (known === undefined) await run.forward(guest, host);
  console.log(`127.0.0.1:${host} is port ${guest} of the machine`);
}

try {
  if (verb === 'up') await up();
  else if (verb === 'stop') await stop();
  else if (verb === 'forward') await forward();
  else throw new Error('expected up, stop or forward PORT');
  process.exit(0); // The machine goes on running.
} catch (error) {
  const shown = new Machine(files.dir).console().trimEnd();
  console.error(`\nfailed: ${errorText(error)}`);
  if (shown !== '' && verb === 'up') {
    console.error(`the console's last lines:\n${shown.split('\n').slice(-8).join('\n')}`);
  }
  process.exit(1);
}
