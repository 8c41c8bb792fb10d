/** stageOf() and blockersOf(): a row per thing that can keep a machine from running. */
import t from 'tap';
import { type MachineConfig, parseMachineConfig } from '#base/machine-config.ts';
import { blockersOf, type StatusFacts, stageOf } from './machine-status.ts';
import { INITIAL, type UnitState } from './unit.ts';

const config = parseMachineConfig('version: 1\nnode: {name: n}\ncluster: {name: c}\n');

interface Scene {
  readonly mode?: 'maintenance' | 'locked' | 'configured';
  readonly config?: MachineConfig | undefined;
  readonly bootstrapped?: boolean;
  readonly problems?: string[];
  readonly agent?: Partial<UnitState>;
  readonly primary?: string | undefined;
  readonly volumeProblems?: [string, string][];
  readonly ending?: boolean;
}

function facts(scene: Scene): StatusFacts {
  const running: UnitState = { ...INITIAL, phase: 'running', pid: 1 };
  const agent = { ...running, ...scene.agent };
  return {
    state: {
      mode: scene.mode ?? 'configured',
      config: () => ('config' in scene ? scene.config : config),
      bootstrapped: scene.bootstrapped ?? true,
      problems: scene.problems ?? [],
    },
    units: { names: () => ['agent'], state: () => agent },
    network: { addresses: [], primary: 'primary' in scene ? scene.primary : '192.0.2.1' },
    volumes: new Map(),
    volumeProblems: new Map(scene.volumeProblems) as StatusFacts['volumeProblems'], // Names of tests.
    bootReason: 'reboot',
    ending: scene.ending ?? false,
    warnings: [],
    nowMs: 0,
  };
}

const rows: { name: string; scene: Scene; stage: string; blockedBy: string[] }[] = [
  { name: 'runs', scene: {}, stage: 'running', blockedBy: [] },
  {
    name: 'is new',
    scene: { mode: 'maintenance', config: undefined, bootstrapped: false },
    stage: 'maintenance',
    blockedBy: ['no configuration was applied'],
  },
  {
    name: 'has damaged secrets',
    scene: { mode: 'maintenance', problems: ['secrets.yaml is damaged: x'] },
    stage: 'maintenance',
    blockedBy: ['secrets.yaml is damaged: x'],
  },
  {
    name: 'has a damaged configuration',
    scene: { mode: 'locked', config: undefined, problems: ['config.yaml is damaged: x'] },
    stage: 'degraded',
    blockedBy: ['config.yaml is damaged: x'],
  },
  {
    name: 'lost its configuration',
    scene: { mode: 'locked', config: undefined },
    stage: 'degraded',
    blockedBy: ['no configuration was applied'],
  },
  {
    name: 'has a damaged volume',
    scene: { volumeProblems: [['STORE', 'e2fsck says no']] },
    stage: 'degraded',
    blockedBy: ['STORE: e2fsck says no'],
  },
  {
    name: 'has no address',
    scene: { primary: undefined },
    stage: 'starting',
    blockedBy: ['no address on any link'],
  },
  {
    name: 'waits for bootstrap',
    scene: { bootstrapped: false },
    stage: 'starting',
    blockedBy: ['the cluster was not bootstrapped'],
  },
  {
    name: 'starts a process again',
    scene: { agent: { phase: 'backoff', failureCount: 1 } },
    stage: 'starting',
    blockedBy: ['service agent is in backoff'],
  },
  {
    name: 'has a process that ends again and again',
    scene: {
      agent: { phase: 'backoff', failureCount: 6, lastExit: { code: undefined, signal: 9 } },
    },
    stage: 'starting',
    blockedBy: ['service agent ended 6 times in a row with signal 9'],
  },
  { name: 'goes down', scene: { ending: true }, stage: 'stopping', blockedBy: [] },
];
for (const { name, scene, stage, blockedBy } of rows) {
  t.test(`a machine that ${name}`, async (t) => {
    const all = facts(scene);
    t.same(blockersOf(all), blockedBy);
    t.equal(stageOf(all, blockersOf(all)), stage);
  });
}
