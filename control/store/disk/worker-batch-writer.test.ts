/** Batches on a thread of their own, in a real file. */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { RealDisk } from './real-disk.ts';
import { WorkerBatchWriter } from './worker-batch-writer.ts';

function fail(error: unknown): never {
  throw error;
}

t.test('batches are in the file, in order, whoever waits for them', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'batch-writer-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  using disk = new RealDisk(join(directory, 'data'));
  using writer = new WorkerBatchWriter(fail);
  const file = disk.create('log');
  const memory = writer.allocate(100);
  memory.fill(1);
  writer.begin(file, memory.subarray(0, 60), 0);
  t.ok(writer.isIdle(), 'it waited, for nobody is told');
  const { promise, resolve } = Promise.withResolvers<void>();
  writer.ended = resolve;
  memory.fill(2);
  writer.begin(file, memory.subarray(0, 40), 60);
  if (!writer.isIdle()) await promise;
  t.ok(writer.isIdle(), 'it is durable when that was told');
  const larger = writer.allocate(1000);
  larger.fill(3);
  writer.begin(file, larger, 100);
  writer.finish();
  const wanted = Buffer.concat([Buffer.alloc(60, 1), Buffer.alloc(40, 2), Buffer.alloc(1000, 3)]);
  t.same(readFileSync(join(directory, 'data', 'log')), wanted);
  file.close();
});

t.test('an error of the disk comes back to who asks', (t) => {
  using writer = new WorkerBatchWriter(fail);
  writer.ended = () => {};
  const memory = writer.allocate(10);
  const fd = openSync('/dev/full', 'r+');
  const file = { fd, size: 0, read: () => 0, write() {}, truncate() {}, sync() {}, close() {} };
  writer.begin(file, memory, 0);
  t.throws(() => writer.finish(), { code: 'ENOSPC' });
  t.ok(writer.isIdle(), 'once');
  closeSync(fd);
  t.end();
});
