/**
 * Process 1 of a development node, second half: runs control and agent with the supervisor's unit
 * runner, reaps orphans (conmon's and runc's children come to process 1), and on SIGTERM stops the units in
 * order. Its end ends every process of the node.
 */
import { chownSync, mkdirSync } from 'node:fs';
import process from 'node:process';
import { RealClock } from '#base/clock.ts';
import { peekExited, reap } from '#base/linux/syscall.ts';
import { FdLog } from '#base/log.ts';
import { endUnits } from '#daemon/supervisor/shutdown.ts';
import { UnitRunner, type UnitSpec } from '#daemon/supervisor/unit-runner.ts';

const CONTROL_UID = 902;
const SWEEP_MS = 1000;
/** Of all pods together, when the node is ended: its user waits. */
const POD_GRACE_SECONDS = 5;

function unit(name: string, options: Pick<UnitSpec, 'uid' | 'after' | 'dirs'>): UnitSpec {
  return {
    name,
    argv: [
      '/usr/bin/node',
      '--no-warnings',
      '--max-semi-space-size=4',
      `/usr/lib/bareboat/${name}.js`,
      `/run/bareboat/config/${name}.json`,
    ],
    env: {
      PATH: '/usr/bin:/usr/sbin',
      SSL_CERT_FILE: '/etc/ssl/certs/ca-certificates.crt',
      NODE_COMPILE_CACHE: `/var/cache/bareboat/${name}`,
    },
    stopTimeoutMs: 8000,
    cgroupFiles: [],
    ...options,
  };
}

const log = new FdLog({ area: 'dev-init' });
mkdirSync('/run/bareboat/control', { recursive: true });
chownSync('/run/bareboat/control', CONTROL_UID, CONTROL_UID);
mkdirSync('/var/log/pods', { recursive: true });
const units = new UnitRunner({
  clock: new RealClock(),
  log,
  runDir: '/run/bareboat/units',
  logDir: '/var/log/bareboat',
  onReport: (name, { message }) => log.info(message, { unit: name }),
});
units.add(
  unit('control', {
    uid: CONTROL_UID,
    after: [],
    dirs: ['/var/lib/bareboat/control', '/var/cache/bareboat/control'],
  }),
);
units.add(
  unit('agent', {
    uid: 0,
    after: [],
    dirs: ['/var/lib/bareboat/agent', '/run/bareboat/agent', '/var/cache/bareboat/agent'],
  }),
);
for (const name of units.names()) units.want(name);

/** Children that libuv knows are left to it; one of its own at the head hides later ones for a moment. */
function sweep(): void {
  const own = units.childPids();
  for (let exited = peekExited(); exited !== undefined; exited = peekExited()) {
    if (own.has(exited.pid)) break;
    reap(exited.pid);
  }
}
process.on('SIGCHLD', () => setImmediate(sweep));
setInterval(sweep, SWEEP_MS);

const shutdown = {
  units,
  clock: new RealClock(),
  agentSocket: '/run/bareboat/agent/agent.sock',
  events: { add: (unit: string, message: string) => log.info(message, { unit }) },
};
let stopping: Promise<void> | undefined;
process.on('SIGTERM', () => {
  log.info('stopping');
  stopping ??= endUnits(shutdown, { graceSeconds: POD_GRACE_SECONDS }).then(() => process.exit(0));
});
