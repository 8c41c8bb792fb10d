/**
 * Composition root of `bareboat-store`: one member of a store as a process of its own, for tests and
 * benchmarks. `node control/store/main.ts CONFIG.json`; prints `listening PORT` when it serves. It ends
 * with its engine: what is on disk is found out by the next start.
 */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { FdLog } from '#base/log.ts';
import { Measure } from './measure.ts';
import { memberNetwork, memberSettings } from './member-config.ts';
import { Member } from './member.ts';

const file: unknown = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8'));
const own = {
  dataDir: z.string(),
  /** Prints `figures JSON` (measure.ts) at SIGUSR2. */
  measure: z.boolean().optional(),
};
z.strictObject({ ...own, ...memberNetwork.shape, ...memberSettings.shape }).parse(file);
const { dataDir, measure: isMeasured } = z.object(own).parse(file);
const settings = z.object(memberSettings.shape).parse(file);
const network = z.object(memberNetwork.shape).parse(file);

const log = new FdLog({ level: 'info' }).child('store');
const measure = isMeasured === true ? new Measure() : undefined;
const starting = new AbortController();
let stop = (): void => starting.abort();
process.on('SIGTERM', () => stop());
const member = await Member.open(
  {
    dataDir,
    log,
    settings,
    network,
    failed: (error) => {
      log.error('store failed', { error });
      process.exit(1);
    },
    ended: () => {},
    turn: measure?.turn,
  },
  starting.signal,
).catch((error: unknown) => {
  if (starting.signal.aborted) process.exit(0);
  throw error;
});
stop = () => void member.close().then(() => process.exit(0));
const port = await member.listen();
if (measure !== undefined) {
  process.on('SIGUSR2', () => process.stdout.write(`figures ${JSON.stringify(measure.take())}\n`));
}
process.stdout.write(`listening ${port}\n`);
