/**
 * `InspectStore` and `RecoverStore` of the machine API: a store that has lost its quorum for good goes on
 * with what one member holds (reference/store.md section 8, rule 9). Control cannot be asked to do it, for it
 * waits for the store; so it is stopped, and its program does it on the directory (control/recover-command.ts).
 *
 *   control says that there is a quorum   refused, nothing was touched
 *   it does not, for some time            stopped; the program asks the other members: refused where a quorum
 *                                         of them lives
 *   nobody knows of one                   told, or with what was told before: done. Control starts again
 */
import { setTimeout as pause } from 'node:timers/promises';
import * as z from 'zod';
import { errorText } from '#base/errors.ts';
import type {
  RecoveredStore,
  RecoverStoreRequest,
  StoreSurvivor,
} from '#base/protocol/bareboat.gen.ts';
import { Store } from '#base/protocol/bareboat.gen.ts';
import { ProtocolError } from '#base/protocol/frames.ts';
import { connectUnix } from '#base/protocol/protocol.ts';
import { runControl } from './control-program.ts';
import type { ControlProgram } from './control-program.ts';
import type { EventLog } from './events.ts';
import type { UnitRunner } from './unit-runner.ts';

/** A change of leader is over by then. */
const QUORUM_WAIT_MS = 10_000;
const QUORUM_RETRY_MS = 500;
const ASK_MS_MAX = 5000;

const survivor = z.object({
  groupId: z.int(),
  memberId: z.int(),
  lastTerm: z.int(),
  lastIndex: z.int(),
  commitIndex: z.int(),
  members: z.array(z.object({ id: z.int(), address: z.string(), role: z.string() })),
  expelled: z.string().optional(),
});
const recovered = z.object({ groupId: z.int(), memberId: z.int(), revision: z.int() });

export interface RecoveryHost {
  readonly state: { readonly bootstrapped: boolean };
  readonly events: Pick<EventLog, 'add'>;
  readonly units: Pick<UnitRunner, 'state' | 'want' | 'unwant' | 'onStopped'>;
}

export class StoreRecovery {
  readonly #host: RecoveryHost;
  readonly #program: ControlProgram;
  readonly #controlSocket: string;
  readonly #quorumWaitMs: number;
  #isRunning = false;

  constructor(
    host: RecoveryHost,
    of: {
      readonly program: ControlProgram;
      readonly controlSocket: string;
      /** For tests that cannot wait; absent = QUORUM_WAIT_MS. */
      readonly quorumWaitMs?: number;
    },
  ) {
    this.#host = host;
    this.#program = of.program;
    this.#controlSocket = of.controlSocket;
    this.#quorumWaitMs = of.quorumWaitMs ?? QUORUM_WAIT_MS;
  }

  /** Throws ProtocolError, FAILED_PRECONDITION while there is a quorum, or when the store needs none. */
  inspect(signal: AbortSignal): Promise<Partial<StoreSurvivor>> {
    return this.#whileStopped(signal, async () => {
      const args = ['--recover', this.#program.configFile];
      const { expelled = '', ...rest } = await runControl(this.#program, args, survivor);
      return { ...rest, expelled };
    });
  }

  /** As `inspect`; FAILED_PRECONDITION also when the directory holds another log than was told. */
  recover(request: RecoverStoreRequest, signal: AbortSignal): Promise<RecoveredStore> {
    const { groupId, memberId, lastTerm, lastIndex } = request;
    return this.#whileStopped(signal, async () => {
      const told = JSON.stringify({ groupId, memberId, lastTerm, lastIndex });
      const args = ['--recover', this.#program.configFile, told];
      const done = await runControl(this.#program, args, recovered);
      const text = `store recovered from the log up to ${lastIndex}: it is group ${done.groupId} now`;
      this.#host.events.add('machine', text, 'warning');
      return done;
    });
  }

  async #whileStopped<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const { state, units } = this.#host;
    if (!state.bootstrapped) {
      throw new ProtocolError('FAILED_PRECONDITION', 'the cluster was not bootstrapped');
    }
    if (this.#isRunning) {
      throw new ProtocolError('FAILED_PRECONDITION', 'the store is being recovered');
    }
    this.#isRunning = true;
    try {
      await this.#requireNoQuorum(signal);
      // From here on it comes to an end, whatever becomes of the client.
      units.unwant('control');
      await new Promise<void>((resolve) => units.onStopped('control', resolve));
      try {
        return await work();
      } finally {
        units.want('control');
      }
    } finally {
      this.#isRunning = false;
    }
  }

  /** Control may be between two leaders: it is asked for a while. */
  async #requireNoQuorum(signal: AbortSignal): Promise<void> {
    const endMs = performance.now() + this.#quorumWaitMs;
    const { units } = this.#host;
    while (performance.now() < endMs && units.state('control').phase === 'running') {
      const leader = await this.#leader(signal);
      if (leader !== undefined) {
        const text = `the store has a quorum: member ${leader} leads it; nothing was changed`;
        throw new ProtocolError('FAILED_PRECONDITION', text);
      }
      await pause(QUORUM_RETRY_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }

  /** As a quorum knows it; undefined when control does not say. */
  async #leader(signal: AbortSignal): Promise<number | undefined> {
    const asked = AbortSignal.any([signal, AbortSignal.timeout(ASK_MS_MAX)]);
    try {
      await using client = await connectUnix(this.#controlSocket, asked);
      const { leaderId } = await client.call(Store.GetStatus, {}, asked);
      return leaderId;
    } catch (error) {
      signal.throwIfAborted();
      // Not there, or without a quorum; what else it may be, the program finds out.
      this.#host.events.add('machine', `store before recovery: ${errorText(error)}`);
      return undefined;
    }
  }
}
