/**
 * Child of store-crash.test.ts: writes keys in order to the store of a directory, from several
 * clients, and prints the number of each write that was acknowledged. Runs until it is killed.
 */
import { startStoreWorker } from '#control/store/store.ts';

const [dataDir = '', first = '0'] = process.argv.slice(2);
const { signal } = new AbortController();
const store = await startStoreWorker(
  {
    dataDir,
    logLevel: 'error',
    onFailure: (error) => {
      throw error;
    },
  },
  new AbortController().signal,
);
let next = Number(first);
const client = async () => {
  while (true) {
    const number = next++;
    const request = { key: `k${String(number).padStart(9, '0')}`, value: new Uint8Array(512) };
    await store.txn({ compare: [], success: [{ kind: 'put', request }], failure: [] }, signal);
    process.stdout.write(`${number}\n`);
  }
};
await Promise.all(Array.from({ length: 16 }, client));
