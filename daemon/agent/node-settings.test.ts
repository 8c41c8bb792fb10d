/** planNodeSettings(): a row per rule; applying its patch once leaves nothing to plan. */
import t from 'tap';
import type { Node, Taint } from '#base/kube/api/core-v1.gen.ts';
import { type NodeSettings, ownership, planNodeSettings } from './node-settings.ts';

const CONTROL: Taint = { key: 'node-role.kubernetes.io/control-plane', effect: 'NoSchedule' };
const NOT_READY: Taint = { key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' };

function makeNode(facts: {
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  taints?: Taint[];
}): Node {
  const { labels, annotations, taints } = facts;
  const metadata = { name: 'n', resourceVersion: '7', labels, annotations };
  return { metadata, spec: { taints } } as unknown as Node; // Enough.
}

/** What a server makes of the patch (RFC 7386). */
function applyPatch(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const result: Record<string, unknown> = { ...(target as object) }; // Of the same shape.
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = applyPatch(result[key], value);
  }
  return result;
}

const none: NodeSettings = { labels: {}, taints: [] };
const owned = ownership({ labels: { disk: 'ssd' }, taints: [CONTROL] });

const rows: {
  name: string;
  node: Node;
  settings: NodeSettings;
  labels: Record<string, string>;
  taints: Taint[];
}[] = [
  {
    name: 'sets a label beside those of others',
    node: makeNode({ labels: { a: 'b' } }),
    settings: { labels: { disk: 'ssd' }, taints: [] },
    labels: { a: 'b', disk: 'ssd' },
    taints: [],
  },
  {
    name: 'puts back a label that somebody changed',
    node: makeNode({ labels: { disk: 'hdd' }, annotations: owned, taints: [CONTROL] }),
    settings: { labels: { disk: 'ssd' }, taints: [CONTROL] },
    labels: { disk: 'ssd' },
    taints: [CONTROL],
  },
  {
    name: 'takes away what left the configuration, and nothing else',
    node: makeNode({
      labels: { a: 'b', disk: 'ssd' },
      annotations: { ...owned, mine: 'x' },
      taints: [NOT_READY, CONTROL],
    }),
    settings: none,
    labels: { a: 'b' },
    taints: [NOT_READY],
  },
  {
    name: 'leaves the taint that an administrator set',
    node: makeNode({ taints: [CONTROL] }),
    settings: none,
    labels: {},
    taints: [CONTROL],
  },
  {
    name: 'taints beside the taints of controllers',
    node: makeNode({ taints: [NOT_READY] }),
    settings: { labels: {}, taints: [CONTROL] },
    labels: {},
    taints: [NOT_READY, CONTROL],
  },
  {
    name: 'puts back a taint that somebody took away',
    node: makeNode({ annotations: owned, labels: { disk: 'ssd' } }),
    settings: { labels: { disk: 'ssd' }, taints: [CONTROL] },
    labels: { disk: 'ssd' },
    taints: [CONTROL],
  },
];

for (const { name, node, settings, labels, taints } of rows) {
  t.test(`planNodeSettings() ${name}`, async (t) => {
    const after = applyPatch(node, planNodeSettings(node, settings)) as Node; // A Node with changes.
    if (planNodeSettings(node, settings) !== undefined) {
      t.equal(after.metadata.resourceVersion, '7', 'a Node that changed meanwhile is refused');
      t.equal(planNodeSettings(after, settings), undefined, 'once');
    }
    const result = planNodeSettings(node, settings) === undefined ? node : after;
    t.same(result.metadata.labels ?? {}, labels);
    t.same(result.spec?.taints ?? [], taints);
    for (const [key, text] of Object.entries(ownership(settings))) {
      t.equal(result.metadata.annotations?.[key], text);
    }
  });
}

t.test('planNodeSettings() has nothing to do on a Node of its own making', async (t) => {
  const settings = { labels: { disk: 'ssd' }, taints: [CONTROL] };
  const node = makeNode({ ...settings, annotations: ownership(settings) });
  t.equal(planNodeSettings(node, settings), undefined);
  t.equal(planNodeSettings(makeNode({}), none), undefined, 'nor without settings');
});
