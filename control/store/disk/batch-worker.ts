/** Thread of a WorkerBatchWriter: writes what the row says to an open file, and syncs it. */
import { fdatasyncSync, writeSync } from 'node:fs';
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { must } from '#base/assert.ts';
import { ASKED, ENDED, ROW } from './worker-batch-writer.ts';
import type { BatchWorkerData } from './worker-batch-writer.ts';

const EIO = 5;

const port = must(parentPort, 'it runs on a thread of its own');
const { row } = workerData as BatchWorkerData; // Given by worker-batch-writer.ts.
let memory = new Uint8Array(0);

for (let seen = Atomics.load(row, ROW.state); ; seen = Atomics.load(row, ROW.state)) {
  if (seen === ASKED) run();
  else Atomics.wait(row, ROW.state, seen);
}

function run(): void {
  row[ROW.errno] = write();
  Atomics.store(row, ROW.state, ENDED);
  Atomics.notify(row, ROW.state);
}

/** Returns the errno, 0 when all is durable. */
function write(): number {
  if (Atomics.exchange(row, ROW.isNewMemory, 0) === 1) {
    for (
      let next = receiveMessageOnPort(port);
      next !== undefined;
      next = receiveMessageOnPort(port)
    ) {
      memory = next.message as typeof memory; // Sent by WorkerBatchWriter.
    }
  }
  const [fd, bytes, at] = [row[ROW.fd], row[ROW.bytes], row[ROW.at]] as [number, number, number];
  try {
    for (let done = 0; done < bytes; ) {
      done += writeSync(fd, memory, done, bytes - done, at + done);
    }
    fdatasyncSync(fd);
    return 0;
  } catch (error) {
    const { errno = -EIO } = error as { errno?: number }; // Of the system.
    return -errno;
  }
}
