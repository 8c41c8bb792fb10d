/**
 * Labels and taints that the machine's configuration gives its Node, kept as it says: what was set is
 * recorded in annotations, so that what leaves the configuration leaves the Node, and what others put there
 * stays. Level-triggered: the Node is compared at every change of it.
 *
 * A kubelet may not change taints (NodeRestriction), nor labels of Kubernetes' own domains: this is done with
 * credentials of their own, which only nodes that hold the cluster's keys have.
 */
import type { Node, Taint } from '#base/kube/api/core-v1.gen.ts';
import { nodes } from '#base/kube/api/resources.gen.ts';
import { Informer, type InformerIo } from '#base/kube/informer.ts';
import { runWorkers, WorkQueue } from '#base/kube/work-queue.ts';
import { TaskScope } from '#base/task-scope.ts';

export interface NodeSettings {
  readonly labels: Readonly<Record<string, string>>;
  readonly taints: readonly Taint[];
}

const LABELS = 'bareboat/owned-labels';
const TAINTS = 'bareboat/owned-taints';

const taintId = ({ key, effect }: Pick<Taint, 'key' | 'effect'>) => `${key}:${effect}`;
const listOf = (text: string | undefined) => (text ?? '').split(',').filter((word) => word !== '');

/** Annotations that say which labels and taints of a Node are these settings' own. */
export function ownership({ labels, taints }: NodeSettings): Record<string, string> {
  const texts = [
    [LABELS, Object.keys(labels).toSorted().join(',')],
    [TAINTS, taints.map(taintId).toSorted().join(',')],
  ] as const;
  return Object.fromEntries(texts.filter(([, text]) => text !== ''));
}

/** The merge patch that makes `node` what `settings` say, or undefined when it is so. Pure. */
export function planNodeSettings(node: Node, settings: NodeSettings): object | undefined {
  const { labels = {}, annotations = {}, resourceVersion } = node.metadata;
  const changed: Record<string, string | null> = {};
  for (const key of listOf(annotations[LABELS])) {
    if (settings.labels[key] === undefined && labels[key] !== undefined) changed[key] = null;
  }
  for (const [key, value] of Object.entries(settings.labels)) {
    if (labels[key] !== value) changed[key] = value;
  }
  const before = node.spec?.taints ?? [];
  const wanted = new Map(settings.taints.map((taint) => [taintId(taint), taint]));
  const dropped = listOf(annotations[TAINTS]).filter((id) => !wanted.has(id));
  const kept = before.filter((taint) => !dropped.includes(taintId(taint)));
  const present = new Set(kept.map(taintId));
  const added = settings.taints.filter((taint) => !present.has(taintId(taint)));
  const owned = ownership(settings);
  const record: Record<string, string | null> = {};
  for (const key of [LABELS, TAINTS]) {
    if (annotations[key] !== owned[key]) record[key] = owned[key] ?? null;
  }
  const sameTaints = added.length === 0 && kept.length === before.length;
  if (sameTaints && Object.keys({ ...changed, ...record }).length === 0) return undefined;
  return {
    // Taints are replaced as a whole: who writes between our look and the patch must not lose.
    metadata: { resourceVersion, annotations: record, labels: changed },
    ...(!sameTaints && { spec: { taints: [...kept, ...added] } }),
  };
}

/** Keeps the Node as the settings say until aborted. */
export async function runNodeSettings(
  io: InformerIo,
  options: { readonly nodeName: string; readonly settings: NodeSettings },
  signal: AbortSignal,
): Promise<void> {
  const { nodeName: name, settings } = options;
  await using tasks = new TaskScope(signal);
  using queue = new WorkQueue(io.clock);
  const informer = new Informer(io, nodes, { fieldSelector: `metadata.name=${name}` });
  const look = () => queue.add(name);
  using _ = informer.addHandler({ onAdd: look, onUpdate: look });
  tasks.spawn('node informer', (stop) => informer.run(stop));
  const sync = async (_key: string, stop: AbortSignal) => {
    const node = informer.store.get(undefined, name);
    const body = node === undefined ? undefined : planNodeSettings(node, settings);
    if (body === undefined) return;
    await io.client.patch(nodes, { name }, { type: 'merge', body }, stop);
    io.log.info('node settings written', { node: name });
  };
  const workers = { name: 'node settings', queue, workers: 1, log: io.log, sync };
  tasks.spawn('node settings', (stop) => runWorkers(workers, stop));
  await tasks.join();
}
