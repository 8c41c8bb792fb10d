/** Watches: how long after a put its event arrives, and how many events are delivered. */
import { inPairs, loadOf, withGroups } from './bench.ts';
import type { Bench } from './bench.ts';
import { FEW_PAIRS } from './settings.ts';
import { runLoad, runOfficialWatch } from './run-load.ts';
import { atMost, formatTable } from './table.ts';
import type { Row } from './table.ts';
import type { Group } from './target.ts';

const WATCHES = 100;
/** About ten seconds of it. */
const OFFICIAL_PUTS = 3000;
const PUTS_PER_SECOND = 1000;

export async function watchPart(bench: Bench): Promise<string> {
  const rows: Row[] = [];
  let note = '';
  await withGroups(bench, {}, async (ours, etcd) => {
    const seconds = Math.ceil(bench.settings.seconds / 3);
    const steady = loadOf(bench, {
      connections: 4,
      clients: 4,
      rate: PUTS_PER_SECOND,
      watches: WATCHES,
      seconds,
    });
    const full = { ...steady, connections: 16, clients: 64, rate: 0 };
    for (const load of [steady, full]) {
      const run = async (group: Group) => {
        const { result } = await runLoad(group, load);
        const { eventsPerSecond, eventLatency, perSecond } = result;
        bench.say(
          `${group.name}, ${perSecond.toFixed(0)} puts/s: ${eventsPerSecond.toFixed(0)} events/s, ` +
            `p50 ${eventLatency.p50.toFixed(2)}, p99 ${eventLatency.p99.toFixed(2)} ms`,
        );
        return result;
      };
      const runs = await inPairs(
        bench,
        { group: ours, run: () => run(ours) },
        etcd && { group: etcd, run: () => run(etcd) },
        Math.min(bench.settings.pairs, FEW_PAIRS),
      );
      const of = (figure: (result: Awaited<ReturnType<typeof run>>) => number) => ({
        ours: runs.ours.map(figure),
        etcd: runs.etcd.map(figure),
      });
      if (load === steady) {
        const what = `${PUTS_PER_SECOND.toLocaleString('en')} puts/s, ${WATCHES} watches`;
        rows.push(
          { what: `${what}: put to event, p50, ms`, digits: 2, ...of((r) => r.eventLatency.p50) },
          {
            what: `${what}: put to event, p99, ms`,
            digits: 2,
            goal: atMost(5, 'ms'),
            ...of((r) => r.eventLatency.p99),
          },
          { what: `${what}: events/s`, digits: 0, ...of((r) => r.eventsPerSecond) },
        );
      } else {
        const what = `64 clients put at full rate, ${WATCHES} watches`;
        rows.push(
          {
            what: `${what}: events/s`,
            digits: 0,
            goal: { text: '≥ 100,000', met: ({ ours: median }) => median >= 100_000 },
            ...of((r) => r.eventsPerSecond),
          },
          { what: `${what}: puts/s`, digits: 0, ...of((r) => r.perSecond) },
        );
      }
    }
    if (etcd === undefined) return;
    const options = { binary: bench.officialBinary, puts: OFFICIAL_PUTS };
    note = `${await runOfficialWatch(etcd, options)}\n`;
  });
  const table = formatTable('Watches, from the sending of a put to its event at the client', rows);
  return `${table}\n${note}`;
}
