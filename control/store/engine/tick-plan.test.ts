import t from 'tap';
import { TIMERS_DEFAULT, planTicks } from './tick-plan.ts';

const plans = [
  { name: 'the default', timers: TIMERS_DEFAULT, plan: [50, 1, 10, 2] },
  { name: "etcd's", timers: { heartbeatMs: 100, electionMs: 1000 }, plan: [100, 1, 10, 1] },
  { name: 'far away', timers: { heartbeatMs: 500, electionMs: 5000 }, plan: [100, 5, 50, 1] },
  { name: 'odd', timers: { heartbeatMs: 130, electionMs: 1000 }, plan: [65, 2, 15, 2] },
  { name: 'very near', timers: { heartbeatMs: 10, electionMs: 50 }, plan: [10, 1, 5, 10] },
];

for (const { name, timers, plan } of plans) {
  t.test(`planTicks() of ${name}`, (t) => {
    const { tickMs, heartbeatTicks, electionTicks, ticksPerRound } = planTicks(timers);
    t.same([tickMs, heartbeatTicks, electionTicks, ticksPerRound], plan);
    t.end();
  });
}

const refusals = [
  { name: 'an election before five heartbeats', timers: { heartbeatMs: 100, electionMs: 499 } },
  { name: 'heartbeats without end', timers: { heartbeatMs: 9, electionMs: 1000 } },
  { name: 'no election within a minute', timers: { heartbeatMs: 100, electionMs: 60_001 } },
  { name: 'what is no number', timers: { heartbeatMs: Number.NaN, electionMs: 1000 } },
  { name: 'what is no number, either', timers: { heartbeatMs: 100, electionMs: Number.NaN } },
];

for (const { name, timers } of refusals) {
  t.test(`planTicks() refuses ${name}`, (t) => {
    t.throws(() => planTicks(timers), { code: 'INVALID_REQUEST' });
    t.end();
  });
}
