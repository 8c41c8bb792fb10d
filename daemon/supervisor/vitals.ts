/**
 * The machine's vital signs: that its disk and its gateway answer. Only then is the watchdog fed; that the
 * supervisor's own loop turns is proved by the feeding. A sign that fails is told before it is fatal; a gateway
 * that hangs is first started anew.
 *
 * Disk: the time is saved in STATE once a minute. An error is an answer (a reset would not mend it, and the API
 * can tell it); silence is not. Gateway: a TLS handshake with it, once it has answered for the first time.
 */
import { connect } from 'node:tls';
import type { Clock } from '#base/clock.ts';
import { errorText } from '#base/errors.ts';
import type { EventLog } from './events.ts';
import type { Watchdog } from './watchdog.ts';

const FEED_MS = 5_000;
const SAVE_MS = 60_000;
const PROBE_MS = 15_000;
const PROBE_TIMEOUT_MS = 10_000;
/** Silence after which a sign has failed. */
export const SILENCE_MS_MAX = 180_000;
/** Silence of the gateway after which it is started anew. */
export const RESTART_MS = 60_000;

export interface VitalSign {
  readonly name: string;
  /** Monotonic time since which it has been asked in vain; undefined: it has answered. */
  readonly silentSinceMs: number | undefined;
}

/** Names of the signs that have failed. Pure. */
export function failedSigns(signs: readonly VitalSign[], nowMs: number): string[] {
  return signs
    .filter(
      ({ silentSinceMs }) => silentSinceMs !== undefined && nowMs - silentSinceMs > SILENCE_MS_MAX,
    )
    .map(({ name }) => name);
}

export interface VitalsIo {
  readonly clock: Clock;
  readonly events: Pick<EventLog, 'add'>;
  readonly watchdog: Watchdog | undefined;
  /** Resolves when the time has reached the disk. */
  readonly save: () => Promise<void>;
  /** The gateway's port, once it is expected to answer. */
  readonly gatewayPort: () => number | undefined;
  readonly restartGateway: () => void;
}

export class Vitals implements Disposable {
  readonly #io: VitalsIo;
  readonly #timers: readonly NodeJS.Timeout[];
  readonly #saving: NodeJS.Timeout;
  #savingSinceMs: number | undefined;
  #gatewaySilentSinceMs: number | undefined;
  #probing = false;
  #restartedAtMs = Number.NEGATIVE_INFINITY;
  #saveProblem = '';
  #toldFailed = '';

  constructor(io: VitalsIo) {
    this.#io = io;
    const every = (ms: number, run: () => void) => setInterval(run, ms).unref();
    this.#saving = every(SAVE_MS, () => this.#save());
    const feeding = every(FEED_MS, () => this.#feed());
    const probing = every(PROBE_MS, () => this.#probe());
    this.#timers = [this.#saving, feeding, probing];
    this.#feed();
    this.#save();
  }

  get signs(): VitalSign[] {
    return [
      { name: 'disk', silentSinceMs: this.#savingSinceMs },
      { name: 'gateway', silentSinceMs: this.#gatewaySilentSinceMs },
    ];
  }

  #feed(): void {
    const { clock, events, watchdog } = this.#io;
    const failed = failedSigns(this.signs, clock.monotonicMs()).join(' and ');
    if (failed !== '' && failed !== this.#toldFailed) {
      const then = watchdog === undefined ? '' : `; reset in ${watchdog.timeoutSeconds} s`;
      events.add('watchdog', `no answer for ${SILENCE_MS_MAX / 1000} s: ${failed}${then}`, 'error');
    }
    this.#toldFailed = failed;
    if (failed === '') watchdog?.feed();
  }

  /** One save at a time: a disk that hangs holds it. */
  #save(): void {
    const { clock, events, save } = this.#io;
    if (this.#savingSinceMs !== undefined) return;
    this.#savingSinceMs = clock.monotonicMs();
    save()
      .then(
        () => '',
        (error: unknown) => errorText(error),
      )
      .then(
        (problem) => {
          this.#savingSinceMs = undefined;
          if (problem !== '' && problem !== this.#saveProblem) {
            events.add('disk', `the time was not saved: ${problem}`, 'error');
          }
          this.#saveProblem = problem;
        },
        () => {},
      );
  }

  #probe(): void {
    const { clock, gatewayPort } = this.#io;
    const port = gatewayPort();
    if (port === undefined) this.#gatewaySilentSinceMs = undefined;
    if (port === undefined || this.#probing) return;
    const askedAtMs = clock.monotonicMs();
    this.#probing = true;
    answersTls(port, PROBE_TIMEOUT_MS).then(
      (answered) => {
        this.#probing = false;
        if (answered) this.#gatewaySilentSinceMs = undefined;
        else this.#gatewaySilentSinceMs ??= askedAtMs;
        this.#maybeRestartGateway();
      },
      () => {},
    );
  }

  #maybeRestartGateway(): void {
    const { clock, events, restartGateway } = this.#io;
    const nowMs = clock.monotonicMs();
    const since = this.#gatewaySilentSinceMs;
    if (since === undefined || nowMs - Math.max(since, this.#restartedAtMs) < RESTART_MS) return;
    this.#restartedAtMs = nowMs;
    const seconds = Math.round((nowMs - since) / 1000);
    events.add('gateway', `does not answer for ${seconds} s: started anew`, 'error');
    restartGateway();
  }

  /** The disk goes; the watchdog is fed on. */
  endSaving(): void {
    clearInterval(this.#saving);
  }

  [Symbol.dispose](): void {
    for (const timer of this.#timers) clearInterval(timer);
  }
}

/** Whether a server on this machine completes a TLS handshake. */
export function answersTls(port: number, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
    const end = (answered: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answered);
    };
    const timer = setTimeout(() => end(false), timeoutMs);
    socket.once('secureConnect', () => end(true));
    socket.on('error', () => end(false)); // Also after the end: it is over then.
  });
}
