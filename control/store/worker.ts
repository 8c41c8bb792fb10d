/**
 * Composition root of the store's worker thread: opens a member of the store and serves the main
 * thread's client over the thread's port. The thread blocks while it syncs; what arrives meanwhile
 * is the next batch. A failure ends the thread, and with it (start-worker.ts) the process.
 */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { assert } from '#base/assert.ts';
import { FdLog } from '#base/log.ts';
import { Member } from './member.ts';
import { StoreError } from './port.ts';
import { describeFailure } from './worker-protocol.ts';
import type { FromWorker, ToWorker, WorkerSettings } from './worker-protocol.ts';

assert(parentPort !== null, 'the store worker runs on a worker thread');
const port = parentPort;
const { logLevel, ...settings } = workerData as WorkerSettings; // Given by start-worker.ts.

function post(message: FromWorker, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}

try {
  await run();
} catch (error) {
  post(describeFailure(error));
  port.close();
}

async function run(): Promise<void> {
  const log = new FdLog({ level: logLevel }).child('store');
  const starting = new AbortController();
  // Nothing else is said before it is open.
  const onEarly = () =>
    starting.abort(new StoreError('CLOSED', 'store was closed while it opened'));
  port.on('message', onEarly);
  const options = {
    ...settings,
    log,
    failed: (error: unknown) => {
      log.error('store failed', { error });
      post(describeFailure(error));
      port.close();
    },
    ended: () => {},
    takeMore: () => {
      let took = false;
      for (let next = receiveMessageOnPort(port); next !== undefined; took = true) {
        take(next.message as ToWorker); // Sent by start-worker.ts.
        next = receiveMessageOnPort(port);
      }
      return took;
    },
  };
  const member = await Member.open(options, starting.signal);
  const connection = member.engine.connect((message) => post(message, [message.buffer]));
  const take = (message: ToWorker): void => {
    if (message instanceof Uint8Array) connection.inbox.push(message);
    else setImmediate(() => void close());
  };
  await member.listen();
  port.off('message', onEarly);
  port.on('message', (message: ToWorker) => {
    take(message);
    member.host.pump();
  });
  /** Answers what was asked before the request to close. */
  const close = async (): Promise<void> => {
    while (connection.inbox.length > 0 && !member.host.isClosed) member.host.pump();
    await member.close();
    port.close();
  };
  post({ kind: 'opened' });
}
