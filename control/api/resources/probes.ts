/**
 * Rules on probes and lifecycle hooks.
 * Source: kubernetes v1.36.3 pkg/apis/core/validation.
 */
import type {
  HTTPGetAction,
  Lifecycle,
  LifecycleHandler,
  PodOS,
  Probe,
} from '#base/kube/api/core-v1.gen.ts';
import type { FieldErrors } from './field-errors.ts';
import { checkHttpHeaderName, checkPortName, checkPortNumber } from './formats.ts';
import { validateNotNegative } from './meta.ts';

type Handler = Probe & LifecycleHandler;

export type ProbeKind = 'livenessProbe' | 'readinessProbe' | 'startupProbe';
export const PROBE_KINDS: readonly ProbeKind[] = [
  'livenessProbe',
  'readinessProbe',
  'startupProbe',
];
const SCHEMES = ['HTTP', 'HTTPS'];

export function validateProbe(e: FieldErrors, at: string, probe: Probe, kind: ProbeKind): void {
  validateHandler(e, at, probe, undefined);
  for (const field of [
    'initialDelaySeconds',
    'timeoutSeconds',
    'periodSeconds',
    'successThreshold',
    'failureThreshold',
  ] as const) {
    validateNotNegative(e, `${at}.${field}`, probe[field] ?? 0);
  }
  const grace = probe.terminationGracePeriodSeconds;
  const graceField = `${at}.terminationGracePeriodSeconds`;
  if (grace !== undefined && grace <= 0) e.invalid(graceField, grace, 'must be greater than 0');
  if (kind === 'readinessProbe') {
    if (grace !== undefined) e.invalid(graceField, grace, 'must not be set for readinessProbes');
  } else if ((probe.successThreshold ?? 0) !== 1) {
    e.invalid(`${at}.successThreshold`, probe.successThreshold ?? 0, 'must be 1');
  }
}

export function validatePortNumberOrName(
  e: FieldErrors,
  field: string,
  port: number | string,
): void {
  e.invalidEach(
    field,
    port,
    typeof port === 'number' ? checkPortNumber(port) : checkPortName(port),
  );
}

function validateHttpGet(e: FieldErrors, at: string, action: HTTPGetAction): void {
  if ((action.path ?? '') === '') e.required(`${at}.path`);
  validatePortNumberOrName(e, `${at}.port`, action.port ?? 0);
  const scheme = action.scheme ?? '';
  if (!SCHEMES.includes(scheme)) e.notSupported(`${at}.scheme`, scheme, SCHEMES);
  for (const header of action.httpHeaders ?? []) {
    e.invalidEach(`${at}.httpHeaders`, header.name ?? '', checkHttpHeaderName(header.name ?? ''));
  }
}

const HANDLERS = ['exec', 'httpGet', 'tcpSocket', 'grpc', 'sleep'] as const;

function validateHandler(
  e: FieldErrors,
  at: string,
  handler: Handler,
  graceSeconds: number | undefined,
): void {
  const [first, ...others] = HANDLERS.filter((kind) => handler[kind] !== undefined);
  switch (first) {
    case 'exec':
      if ((handler.exec?.command ?? []).length === 0) e.required(`${at}.exec.command`);
      break;
    case 'httpGet':
      if (handler.httpGet !== undefined) validateHttpGet(e, `${at}.httpGet`, handler.httpGet);
      break;
    case 'tcpSocket':
      validatePortNumberOrName(e, `${at}.tcpSocket.port`, handler.tcpSocket?.port ?? 0);
      break;
    case 'grpc':
      validatePortNumberOrName(e, `${at}.grpc.port`, handler.grpc?.port ?? 0);
      break;
    case 'sleep': {
      const seconds = handler.sleep?.seconds ?? 0;
      if (graceSeconds !== undefined && (seconds < 0 || seconds > graceSeconds)) {
        const detail = `must be non-negative and less than terminationGracePeriodSeconds (${graceSeconds})`;
        e.invalid(`${at}.sleep`, seconds, detail);
      }
      break;
    }
    default:
      e.required(at, 'must specify a handler type');
  }
  for (const kind of others)
    e.forbidden(`${at}.${kind}`, 'may not specify more than 1 handler type');
}

const SIGNAL_NAMES =
  'SIGABRT SIGALRM SIGBUS SIGCHLD SIGCLD SIGCONT SIGFPE SIGHUP SIGILL SIGINT SIGIO SIGIOT SIGKILL ' +
  'SIGPIPE SIGPOLL SIGPROF SIGPWR SIGQUIT SIGSEGV SIGSTKFLT SIGSTOP SIGSYS SIGTERM SIGTRAP SIGTSTP ' +
  'SIGTTIN SIGTTOU SIGURG SIGUSR1 SIGUSR2 SIGVTALRM SIGWINCH SIGXCPU SIGXFSZ SIGRTMIN SIGRTMAX';
const REAL_TIME = [
  ...Array.from({ length: 15 }, (_, i) => `SIGRTMIN+${i + 1}`),
  ...Array.from({ length: 14 }, (_, i) => `SIGRTMAX-${i + 1}`),
];
const SIGNALS = [...SIGNAL_NAMES.split(' '), ...REAL_TIME].sort();
const WINDOWS_SIGNALS = ['SIGKILL', 'SIGTERM'];

export function validateLifecycle(
  e: FieldErrors,
  at: string,
  lifecycle: Lifecycle,
  pod: { readonly os: PodOS | undefined; readonly graceSeconds: number | undefined },
): void {
  for (const hook of ['postStart', 'preStop'] as const) {
    const handler = lifecycle[hook];
    if (handler !== undefined) validateHandler(e, `${at}.${hook}`, handler, pod.graceSeconds);
  }
  const signal = lifecycle.stopSignal;
  if (signal === undefined) return;
  if (pod.os === undefined) {
    const detail = 'may not be set for containers with empty `spec.os.name`';
    return e.forbidden(`${at}.stopSignal`, detail);
  }
  const supported = pod.os.name === 'windows' ? WINDOWS_SIGNALS : SIGNALS;
  if (!supported.includes(signal)) e.notSupported(`${at}.stopSignal`, signal, supported);
}
