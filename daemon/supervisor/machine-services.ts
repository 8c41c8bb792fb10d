/**
 * The supervisor's part of the machine API (service Machine of bareboat.proto), served on its unix
 * socket. Who may call what is the gateway's affair; here is what each call does.
 */
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { proportionalBytes } from '#base/linux/process.ts';
import { formatKubeconfig } from '#base/pki/kubeconfig.ts';
import { adminCredentials } from '#base/pki/node-certificates.ts';
import { type Event, Machine, type ServiceStatus } from '#base/protocol/bareboat.gen.ts';
import { ProtocolError } from '#base/protocol/frames.ts';
import { ServiceTable } from '#base/protocol/protocol.ts';
import { applyConfig } from './apply-config.ts';
import { readKernelLog, readLogFile } from './follow.ts';
import { controlProgram } from './control-program.ts';
import { StoreRecovery } from './recover-store.ts';
import { ClusterRestore } from './restore-cluster.ts';
import type { Supervisor } from './supervisor.ts';
import { formatExit, isLooping } from './unit.ts';
import { PLACES } from './unit-specs.ts';

const KUBECONFIG_LIFETIME_SECONDS = 365 * 24 * 3600;

export function machineServices(supervisor: Supervisor): ServiceTable {
  const { events, state, units } = supervisor;
  const restore = new ClusterRestore(supervisor, controlProgram());
  restore.tidy();
  const recovery = new StoreRecovery(supervisor, {
    program: controlProgram(),
    controlSocket: PLACES.controlSocket,
  });
  return new ServiceTable()
    .unary(Machine.GetVersion, async () => ({
      version: readOsRelease('VERSION_ID'),
      kubernetes: 'v1.36',
      node: process.version,
      kernel: release(),
      image: readOsRelease('BAREBOAT_LOCK'),
    }))
    .unary(Machine.GetStatus, async () => supervisor.status())
    .stream(Machine.WatchEvents, async function* (requests, { signal }) {
      for await (const { tail, follow } of requests) {
        const queue: Event[] = events.tail(tail);
        let wake = () => {};
        using _ = events.onEvent((event) => {
          queue.push(event);
          wake();
        });
        signal.addEventListener('abort', () => wake(), { once: true });
        for (;;) {
          yield* queue.splice(0);
          if (!follow || signal.aborted) return;
          await new Promise<void>((resolve) => {
            wake = resolve;
            if (queue.length > 0 || signal.aborted) resolve();
          });
        }
      }
    })
    .unary(Machine.GetConfig, async () => {
      const yaml = state.configText();
      if (yaml === undefined)
        throw new ProtocolError('FAILED_PRECONDITION', 'no configuration was applied yet');
      return { yaml };
    })
    .unary(Machine.ApplyConfig, async (request) => applyConfig(supervisor, request))
    .unary(Machine.Bootstrap, async () => {
      await restore.bootstrap();
      return {};
    })
    .stream(Machine.Restore, async function* (requests, { signal }) {
      yield await restore.run(requests, signal);
    })
    .unary(Machine.InspectStore, async (_request, { signal }) => recovery.inspect(signal))
    .unary(Machine.RecoverStore, async (request, { signal }) => recovery.recover(request, signal))
    .unary(Machine.GetKubeconfig, async ({ server, lifetimeSeconds }) => {
      const { config, secrets } = supervisor.requireConfig();
      const lifetimeMs = (lifetimeSeconds || KUBECONFIG_LIFETIME_SECONDS) * 1000;
      const credentials = await adminCredentials(
        {
          kubernetes: secrets.kubernetesCa,
          aggregator: secrets.aggregatorCa,
          serviceAccount: secrets.serviceAccount,
        },
        { nowMs: Date.now(), lifetimeMs },
      );
      const address = supervisor.network.state.primary ?? '127.0.0.1';
      const yaml = formatKubeconfig({
        cluster: config.cluster.name,
        user: 'admin',
        server: server === '' ? `https://${address}:6443` : server,
        caCertificate: secrets.kubernetesCa.certificate,
        credentials,
      });
      return { yaml };
    })
    .unary(Machine.ListServices, async () => ({
      services: units.names().map((name) => serviceStatus(supervisor, name)),
    }))
    .stream(Machine.ReadLog, async function* (requests, { signal }) {
      for await (const request of requests) {
        const path = logFile(request.service, units.names());
        for await (const data of readLogFile(path, request, signal)) yield { data };
        return;
      }
    })
    .stream(Machine.ReadKernelLog, async function* (requests, { signal }) {
      for await (const request of requests) {
        for await (const data of readKernelLog(request, signal)) yield { data };
        return;
      }
    })
    .unary(Machine.Reboot, async () => {
      supervisor.beginShutdown('reboot');
      return {};
    })
    .unary(Machine.Shutdown, async () => {
      supervisor.beginShutdown('powerOff');
      return {};
    });
}

function serviceStatus({ units, clock }: Supervisor, name: string): ServiceStatus {
  const unit = units.state(name);
  const running = unit.phase === 'running';
  return {
    name,
    state: isLooping(unit, clock.monotonicMs()) ? 'crash-loop' : unit.phase,
    pid: unit.pid ?? 0,
    restarts: unit.restartCount,
    runningSeconds: running ? (clock.monotonicMs() - unit.startedAtMs) / 1000 : 0,
    lastExit: unit.lastExit === undefined ? '' : formatExit(unit.lastExit),
    waitingFor: units.waitingFor(name),
    memoryBytes: unit.pid === undefined ? 0 : proportionalBytes(unit.pid),
  };
}

function readOsRelease(key: string): string {
  const text = readFileSync('/etc/os-release', 'utf8');
  return new RegExp(`^${key}="?([^"\n]*)`, 'm').exec(text)?.[1] ?? '';
}

/** Of a unit, or the audit log of the API server. */
function logFile(name: string, units: readonly string[]): string {
  const known = ['supervisor', ...units, 'audit'];
  if (!known.includes(name)) {
    throw new ProtocolError('NOT_FOUND', `no service ${name}: there are ${known.join(', ')}`);
  }
  return name === 'audit' ? PLACES.audit : join(PLACES.logs, `${name}.log`);
}
