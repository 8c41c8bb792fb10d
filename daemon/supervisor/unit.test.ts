import t from 'tap';
import { INITIAL, isLooping, stepUnit, type UnitEvent, type UnitState } from './unit.ts';

const at = (nowMs: number) => ({ nowMs, stopTimeoutMs: 5000 });
const running: UnitState = { ...INITIAL, phase: 'running', pid: 7, startedAtMs: 1000 };

const exits = [
  { name: 'waits 100 ms after the first end', failureCount: 0, ranMs: 50, startAtMs: 100 },
  { name: 'doubles the wait', failureCount: 3, ranMs: 50, startAtMs: 800 },
  { name: 'never waits longer than 15 s', failureCount: 30, ranMs: 50, startAtMs: 15_000 },
  {
    name: 'forgets failures after 10 s of running',
    failureCount: 30,
    ranMs: 10_000,
    startAtMs: 100,
  },
] as const;
for (const c of exits) {
  t.test(`stepUnit() exited ${c.name}`, async (t) => {
    const nowMs = 1000 + c.ranMs;
    const event: UnitEvent = { kind: 'exited', exit: { code: 1, signal: undefined } };
    const { state, effects } = stepUnit(
      { ...running, failureCount: c.failureCount },
      event,
      at(nowMs),
    );
    t.match(state, {
      phase: 'backoff',
      pid: undefined,
      atMs: nowMs + c.startAtMs,
      restartCount: 1,
    });
    t.match(effects[0], { kind: 'wakeAt', atMs: nowMs + c.startAtMs });
  });
}

const rows: {
  name: string;
  from: UnitState;
  event: UnitEvent;
  nowMs: number;
  phase: string;
  effects: string[];
}[] = [
  {
    name: 'want makes it wait',
    from: INITIAL,
    event: { kind: 'want' },
    nowMs: 0,
    phase: 'waiting',
    effects: [],
  },
  {
    name: 'ready spawns',
    from: { ...INITIAL, phase: 'waiting' },
    event: { kind: 'ready' },
    nowMs: 0,
    phase: 'starting',
    effects: ['spawn'],
  },
  {
    name: 'ready means nothing while stopped',
    from: INITIAL,
    event: { kind: 'ready' },
    nowMs: 0,
    phase: 'stopped',
    effects: [],
  },
  {
    name: 'adopting does not spawn',
    from: INITIAL,
    event: { kind: 'adopted', pid: 9 },
    nowMs: 0,
    phase: 'running',
    effects: ['report'],
  },
  {
    name: 'unwant signals',
    from: running,
    event: { kind: 'unwant' },
    nowMs: 2000,
    phase: 'stopping',
    effects: ['signal', 'wakeAt'],
  },
  {
    name: 'a stop that times out kills',
    from: { ...running, phase: 'stopping', atMs: 7000 },
    event: { kind: 'timer' },
    nowMs: 7000,
    phase: 'stopping',
    effects: ['signal', 'report'],
  },
  {
    name: 'an early timer is set again',
    from: { ...running, phase: 'stopping', atMs: 7000 },
    event: { kind: 'timer' },
    nowMs: 6999,
    phase: 'stopping',
    effects: ['wakeAt'],
  },
  {
    name: 'the end of a stop is no failure',
    from: { ...running, phase: 'stopping' },
    event: { kind: 'exited', exit: { code: 0, signal: undefined } },
    nowMs: 3000,
    phase: 'stopped',
    effects: [],
  },
  {
    name: 'back-off over spawns',
    from: { ...INITIAL, phase: 'backoff', atMs: 500 },
    event: { kind: 'timer' },
    nowMs: 500,
    phase: 'starting',
    effects: ['spawn'],
  },
  {
    name: 'unwant ends a back-off',
    from: { ...INITIAL, phase: 'backoff', atMs: 500 },
    event: { kind: 'unwant' },
    nowMs: 100,
    phase: 'stopped',
    effects: [],
  },
];
for (const c of rows) {
  t.test(`stepUnit() ${c.name}`, async (t) => {
    const { state, effects } = stepUnit(c.from, c.event, at(c.nowMs));
    t.equal(state.phase, c.phase);
    t.same(
      effects.map((effect) => effect.kind),
      c.effects,
    );
  });
}

const loops = [
  { name: 'in back-off', state: { phase: 'backoff', failureCount: 5 }, nowMs: 0, looping: true },
  { name: 'few ends', state: { phase: 'backoff', failureCount: 4 }, nowMs: 0, looping: false },
  {
    name: 'just started',
    state: { phase: 'running', failureCount: 9 },
    nowMs: 9999,
    looping: true,
  },
  { name: 'healthy', state: { phase: 'running', failureCount: 9 }, nowMs: 10_000, looping: false },
  { name: 'not wanted', state: { phase: 'stopped', failureCount: 9 }, nowMs: 0, looping: false },
] as const;
for (const { name, state, nowMs, looping } of loops) {
  t.test(`isLooping() of a unit that is ${name}`, async (t) => {
    t.equal(isLooping({ ...INITIAL, ...state }, nowMs), looping);
  });
}

t.test('stepUnit() reports a crash loop', async (t) => {
  const event: UnitEvent = { kind: 'exited', exit: { code: undefined, signal: 9 } };
  const { effects } = stepUnit({ ...running, failureCount: 4 }, event, at(1001));
  t.match(effects[1], { kind: 'report', level: 'error', message: /signal 9.*crash loop: 5 times/ });
});
