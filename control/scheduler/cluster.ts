/**
 * The scheduler's picture of the cluster: nodes with the pods on them and what is left of each. Fed by
 * informers and by the scheduler's own assumptions (a pod counts on its node from the decision on, not
 * from the moment the watch tells of it). Pure.
 */
import type { Node } from '#base/kube/api/core-v1.gen.ts';
import type { Labels } from '#base/kube/selectors.ts';
import { type Amounts, parseAmounts, type PodFacts } from './pod-facts.ts';

export class NodeInfo {
  readonly name: string;
  readonly pods = new Map<string, PodFacts>();
  readonly used = new Map<string, number>();
  scoredCpuUsed = 0;
  scoredMemoryUsed = 0;
  /** Undefined: pods are known, the node is not (yet, or any more). */
  node: Node | undefined;
  allocatable: Amounts = new Map();
  /** Bytes of every image name that is present. */
  images: ReadonlyMap<string, number> = new Map();
  /** Pods with required anti-affinity, which may forbid others. */
  readonly antiAffinityPods = new Set<PodFacts>();
  /** Pods with any pod affinity, which may attract or repel others. */
  readonly affinityPods = new Set<PodFacts>();
  portPods = 0;

  constructor(name: string) {
    this.name = name;
  }

  get labels(): Labels {
    return this.node?.metadata.labels ?? {};
  }

  setNode(node: Node | undefined): void {
    this.node = node;
    this.allocatable = parseAmounts(node?.status?.allocatable);
    this.images = new Map(
      (node?.status?.images ?? []).flatMap((image) =>
        (image.names ?? []).map((name) => [name, image.sizeBytes ?? 0] as const),
      ),
    );
  }

  add(facts: PodFacts): void {
    this.pods.set(facts.uid, facts);
    this.#count(facts, 1);
    if (facts.requiredAntiAffinity.length > 0) this.antiAffinityPods.add(facts);
    if (hasAffinity(facts)) this.affinityPods.add(facts);
  }

  remove(uid: string): void {
    const facts = this.pods.get(uid);
    if (facts === undefined) return;
    this.pods.delete(uid);
    this.#count(facts, -1);
    this.antiAffinityPods.delete(facts);
    this.affinityPods.delete(facts);
  }

  #count(facts: PodFacts, sign: 1 | -1): void {
    for (const [name, amount] of facts.requests) {
      this.used.set(name, (this.used.get(name) ?? 0) + sign * amount);
    }
    this.scoredCpuUsed += sign * facts.scoredCpu;
    this.scoredMemoryUsed += sign * facts.scoredMemory;
    if (facts.ports.length > 0) this.portPods += sign;
  }
}

function hasAffinity(facts: PodFacts): boolean {
  return (
    facts.requiredAffinity.length > 0 ||
    facts.preferredAffinity.length > 0 ||
    facts.preferredAntiAffinity.length > 0
  );
}

export class Cluster {
  readonly #infos = new Map<string, NodeInfo>();
  readonly #nodeOfPod = new Map<string, string>();
  readonly #namespaceLabels = new Map<string, Labels>();
  /** Nodes proper, in order of arrival; rebuilt when one comes or goes. */
  #list: NodeInfo[] | undefined;
  /** Nodes that hold pods of antiAffinityPods and affinityPods: usually few or none. */
  #affinityCount = 0;

  /** Nodes that exist. */
  nodes(): readonly NodeInfo[] {
    this.#list ??= [...this.#infos.values()].filter((info) => info.node !== undefined);
    return this.#list;
  }

  get(name: string): NodeInfo | undefined {
    const info = this.#infos.get(name);
    return info?.node === undefined ? undefined : info;
  }

  /** False when no pod anywhere has pod affinity: then nothing needs to look for it. */
  get hasAffinityPods(): boolean {
    return this.#affinityCount > 0;
  }

  putNode(node: Node): void {
    const info = this.#info(node.metadata.name);
    if (info.node === undefined) this.#list = undefined;
    info.setNode(node);
  }

  removeNode(name: string): void {
    const info = this.#infos.get(name);
    if (info === undefined) return;
    info.setNode(undefined);
    this.#list = undefined;
    if (info.pods.size === 0) this.#infos.delete(name);
  }

  /** Counts the pod on the node, and no longer on another. */
  putPod(facts: PodFacts, nodeName: string): void {
    this.removePod(facts.uid);
    this.#info(nodeName).add(facts);
    this.#nodeOfPod.set(facts.uid, nodeName);
    if (isAffine(facts)) this.#affinityCount++;
  }

  removePod(uid: string): void {
    const name = this.#nodeOfPod.get(uid);
    if (name === undefined) return;
    this.#nodeOfPod.delete(uid);
    const info = this.#info(name);
    const facts = info.pods.get(uid);
    if (facts !== undefined && isAffine(facts)) this.#affinityCount--;
    info.remove(uid);
    if (info.node === undefined && info.pods.size === 0) this.#infos.delete(name);
  }

  nodeOf(uid: string): string | undefined {
    return this.#nodeOfPod.get(uid);
  }

  setNamespaceLabels(namespace: string, labels: Labels | undefined): void {
    if (labels === undefined) this.#namespaceLabels.delete(namespace);
    else this.#namespaceLabels.set(namespace, labels);
  }

  namespaceLabels(namespace: string): Labels {
    return this.#namespaceLabels.get(namespace) ?? {};
  }

  #info(name: string): NodeInfo {
    let info = this.#infos.get(name);
    if (info === undefined) {
      info = new NodeInfo(name);
      this.#infos.set(name, info);
    }
    return info;
  }
}

function isAffine(facts: PodFacts): boolean {
  return hasAffinity(facts) || facts.requiredAntiAffinity.length > 0;
}
