/**
 * Hands inside of a machine that has no shell: what an administrator of its cluster can do, a privileged pod
 * that shares the machine's process numbers.
 */
import type { MachineRun } from './machine-run.ts';
import { SAMPLE_IMAGE } from './sample.ts';

const POD = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'hands', namespace: 'default' },
  spec: {
    hostPID: true,
    terminationGracePeriodSeconds: 0,
    containers: [
      {
        name: 'hands',
        image: SAMPLE_IMAGE,
        command: ['sleep', '1000000'],
        securityContext: { privileged: true },
      },
    ],
  },
};

export async function startHands(run: MachineRun): Promise<void> {
  await run.operator.apply(POD);
  await run.operator.kubectl('wait', '--for=condition=Ready', 'pod/hands', '--timeout=110s');
}

/** As seen from the pod, which shares the machine's numbers. */
export async function pidOf(run: MachineRun, name: string): Promise<number> {
  const text = await run.operator.kubectl('exec', 'hands', '--', 'ps', '-o', 'pid,args');
  const lines = text.split('\n').filter((line) => line.includes(`/usr/lib/bareboat/${name}.js`));
  const [pid, ...others] = lines.map((line) => Number(line.trim().split(' ')[0]));
  if (pid === undefined || others.length > 0)
    throw new Error(`processes of ${name}: ${lines.join('; ')}`);
  return pid;
}

/** The call may break off: agent and control carry it. */
export async function killProcess(run: MachineRun, pid: number): Promise<void> {
  await run.operator.kubectl('exec', 'hands', '--', 'kill', '-9', String(pid)).catch(() => {});
}

/** The number of a running service, or undefined. */
export async function servicePid(run: MachineRun, name: string): Promise<number | undefined> {
  const text = await run.operator.bareboat('services', '-o', 'json');
  const services: { name: string; state: string; pid: number }[] = JSON.parse(text);
  return services.find((s) => s.name === name && s.state === 'running')?.pid;
}
