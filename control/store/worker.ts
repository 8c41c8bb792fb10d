/**
 * Composition root of the store's worker thread: opens the engine on a directory and serves the main
 * thread's client over the thread's port. The thread blocks while it syncs; what arrives meanwhile
 * is the next batch. A failure ends the thread, and with it (start-worker.ts) the process.
 */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { assert } from '#base/assert.ts';
import { FdLog } from '#base/log.ts';
import { crc32, sha256 } from './native-digests.ts';
import { RealDisk } from './disk/real-disk.ts';
import { TICK_MS, openEngine } from './engine/open-engine.ts';
import { PUMPS_PER_TURN_MAX } from './limits.ts';
import { describeFailure } from './worker-protocol.ts';
import type { FromWorker, ToWorker, WorkerSettings } from './worker-protocol.ts';

assert(parentPort !== null, 'the store worker runs on a worker thread');
const port = parentPort;
const settings = workerData as WorkerSettings; // Given by start-worker.ts.

function post(message: FromWorker, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}

try {
  run();
} catch (error) {
  post(describeFailure(error));
}

function run(): void {
  const disk = new RealDisk(settings.dataDir);
  const log = new FdLog({ level: settings.logLevel }).child('store');
  const random = () => Math.random();
  const io = { disk, crc32, sha256, log, random, monotonicMs: () => performance.now() };
  const engine = openEngine(io, { quotaBytes: settings.quotaBytes });
  const connection = engine.connect((message) => post(message, [message.buffer]));
  let isPumpDue = false;
  let isEnded = false;

  const end = (how: 'close' | 'abort') => {
    if (isEnded) return;
    isEnded = true;
    clearInterval(ticks);
    try {
      engine[how]();
    } finally {
      disk[Symbol.dispose]();
      port.close();
    }
  };
  const fail = (error: unknown) => {
    log.error('store failed', { error });
    post(describeFailure(error));
    end('abort');
  };
  /** False = the thread is to end. */
  const take = (message: ToWorker): boolean => {
    if (message instanceof Uint8Array) {
      connection.inbox.push(message);
      return true;
    }
    return false;
  };
  const pump = () => {
    isPumpDue = false;
    let more = true;
    // What came in during the sync goes on at once, without a turn of the event loop.
    for (let i = 0; more && i < PUMPS_PER_TURN_MAX; i++) {
      more = engine.pump();
      for (let next = receiveMessageOnPort(port); next !== undefined; more = true) {
        if (!take(next.message as ToWorker)) return finish(); // Sent by start-worker.ts.
        next = receiveMessageOnPort(port);
      }
    }
    if (more && !isPumpDue) {
      isPumpDue = true;
      setImmediate(guardedPump);
    }
  };
  /** Answers what was asked before the request to close. */
  const finish = () => {
    do engine.pump();
    while (connection.inbox.length > 0);
    end('close');
  };
  const guarded = (work: () => void) => () => {
    try {
      work();
    } catch (error) {
      fail(error);
    }
  };
  const guardedPump = guarded(pump);
  const tick = guarded(() => {
    engine.tick();
    pump();
  });
  const ticks = setInterval(tick, TICK_MS);
  port.on('message', (message: ToWorker) => {
    if (take(message)) guardedPump();
    else guarded(finish)();
  });
  post({ kind: 'opened' });
}
