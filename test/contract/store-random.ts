/**
 * Random sequences of requests on our store and on a real etcd, answers compared with the twin and so
 * with each other. `make test` runs a share; the whole:
 *   node test/contract/store-random.ts --ops 200000
 * Each sequence has a seed of its own; a failing one is shrunk and prints the line that replays it.
 */
import { parseArgs } from 'node:util';
import fc from 'fast-check';
import { RealClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { MemoryDisk } from '#control/store/disk/memory-disk.ts';
import { crc32, sha256 } from '#control/store/native-digests.ts';
import { openStoreOn } from '#control/store/open.ts';
import { type Store, openEtcdStore } from '#control/store/store.ts';
import { EtcdServer } from './etcd-server.ts';
import { compareSteps } from './store-compare.ts';
import { steps } from './store-steps.ts';

/** Most steps of one sequence. */
const SEQUENCE_LENGTH_MAX = 400;
/** For a sequence, and for shrinking it when it fails. */
const SEQUENCE_MS_MAX = 200_000;
const REPORT_LENGTH_MAX = 6000;

const { signal } = new AbortController();

/** Opens a store of the port on `server` under `prefix`. */
export function openOnEtcd(server: EtcdServer, prefix: string): Promise<Store> {
  const io = {
    clock: new RealClock(),
    log: silentLog,
    onFailure: (error: Error) => {
      throw error;
    },
  };
  return openEtcdStore({ endpoints: [server.url], tls: {}, prefix }, io, signal);
}

/** Sequences on one etcd, each under a prefix that nobody used before. */
export class RandomComparison {
  readonly #server: EtcdServer;
  /** Beside all sequences. */
  readonly #outside: Store;
  #count = 0;
  stepCount = 0;

  private constructor(server: EtcdServer, outside: Store) {
    this.#server = server;
    this.#outside = outside;
  }

  static async on(server: EtcdServer): Promise<RandomComparison> {
    return new RandomComparison(server, await openOnEtcd(server, '/outside/'));
  }

  /**
   * Generates and compares one sequence. With `restarts`, etcd is killed and started again now and
   * then, and the store over it goes on. Throws an Error that says how to replay it.
   */
  async sequence(seed: number, restarts = false): Promise<void> {
    const list = steps({ lengthMax: SEQUENCE_LENGTH_MAX, restarts });
    const restart = async (store: Store) => {
      await this.#server.stop();
      await this.#server.start();
      return store;
    };
    const property = fc.asyncProperty(list, async (sequence) => {
      this.stepCount += sequence.length;
      const ours = openStoreOn({
        disk: new MemoryDisk(),
        crc32,
        sha256,
        log: silentLog,
        monotonicMs: () => 0,
        random: () => 0.5,
      });
      const etcd = await this.#fresh();
      try {
        await compareSteps(
          [
            { name: 'ours', store: ours },
            { name: 'etcd', store: etcd, restart: () => restart(etcd) },
          ],
          sequence,
        );
      } finally {
        await Promise.all([ours.close(), etcd.close()]);
      }
    });
    const run = await fc.check(property, {
      seed,
      numRuns: 1,
      interruptAfterTimeLimit: SEQUENCE_MS_MAX,
      markInterruptAsFailure: true,
    });
    if (!run.failed) return;
    const flags = `--seed ${seed} --sequences 1${restarts ? ' --restarts' : ''}`;
    const replay = `replay: node test/contract/store-random.ts ${flags}`;
    if (run.counterexample === null) {
      throw new Error(`${replay}\nthe sequence did not end in ${SEQUENCE_MS_MAX} ms`);
    }
    const shrunk = fc.stringify(run.counterexample[0]).slice(0, REPORT_LENGTH_MAX);
    throw new Error(`${replay}\nsteps: ${shrunk}`, { cause: run.errorInstance });
  }

  async close(): Promise<void> {
    await this.#outside.close();
  }

  /** An empty store whose present revision is above every compaction. */
  async #fresh(): Promise<Store> {
    const put = { kind: 'put', request: { key: 'count', value: new Uint8Array(0) } } as const;
    await this.#outside.txn({ compare: [], success: [put], failure: [] }, signal);
    return openOnEtcd(this.#server, `/sequence/${this.#count++}/`);
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      ops: { type: 'string', default: '200000' },
      seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
      sequences: { type: 'string', default: 'Infinity' },
      restarts: { type: 'boolean', default: false },
    },
  });
  const ops = Number(values.ops);
  const first = Number(values.seed);
  await using server = await EtcdServer.start({ syncs: values.restarts });
  const comparison = await RandomComparison.on(server);
  const startMs = performance.now();
  const last = first + Number(values.sequences);
  let seed = first;
  for (; seed < last && comparison.stepCount < ops; seed++) {
    await comparison.sequence(seed, values.restarts);
  }
  await comparison.close();
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
  console.log(
    `${comparison.stepCount} operations in ${seed - first} sequences from seed ${first} in ${seconds} s: ` +
      'ours, etcd and the twin answered alike',
  );
}

if (import.meta.main) await main();
