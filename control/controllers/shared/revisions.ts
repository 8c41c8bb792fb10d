/**
 * ControllerRevisions: the history of pod templates of DaemonSets and StatefulSets. A revision's data
 * is a strategic patch that puts the template back, which is what `kubectl rollout undo` applies.
 */
import type { ControllerRevision } from '#base/kube/api/apps-v1.gen.ts';
import type { PodTemplateSpec } from '#base/kube/api/core-v1.gen.ts';
import type { LabelSelector } from '#base/kube/api/meta-v1.gen.ts';
import { controllerrevisions } from '#base/kube/api/resources.gen.ts';
import { isKubeError, type KubeClient, type KubeObject, type Resource } from '#base/kube/client.ts';
import { controllerOf, jsonEquivalent, newControllerRef } from '#base/kube/metadata.ts';
import type { Informer } from '#base/kube/informer.ts';
import { compileLabelSelector } from '#base/kube/selectors.ts';
import { claimObjects } from './claim.ts';
import { deleteIfThere } from './delete.ts';
import { templateHash } from './hash.ts';

/** Of pods, and of the revisions of DaemonSets. */
export const REVISION_LABEL = 'controller-revision-hash';

export interface RevisionOwner extends KubeObject {
  spec: {
    template: PodTemplateSpec;
    selector: LabelSelector;
    revisionHistoryLimit?: number | undefined;
  };
  status?: { collisionCount?: number | undefined };
}

interface RevisionData {
  readonly spec: { readonly template: PodTemplateSpec & { $patch: 'replace' } };
}

/** Keys in order, as Go writes maps: clients recognise a revision by comparing the bytes. */
export function revisionData(template: PodTemplateSpec): RevisionData {
  const data: RevisionData = { spec: { template: { ...template, $patch: 'replace' } } };
  return sortKeys(data) as RevisionData; // The same, in order.
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, member]) => [key, sortKeys(member)]));
}

/** The pod template that a revision stands for. */
export function templateOf(revision: ControllerRevision): PodTemplateSpec {
  const { $patch: _, ...template } = (revision.data as RevisionData).spec.template; // Written by us.
  return template;
}

export function sortRevisions(revisions: readonly ControllerRevision[]): ControllerRevision[] {
  return [...revisions].sort(
    (a, b) => a.revision - b.revision || (a.metadata.name < b.metadata.name ? -1 : 1),
  );
}

export interface CurrentRevision {
  /** The revision of the present template. */
  readonly update: ControllerRevision;
  /** All of the owner, oldest first, `update` included. */
  readonly all: readonly ControllerRevision[];
  /** Set when a hash collision made it necessary to count one up. */
  readonly collisionCount: number | undefined;
}

export interface RevisionIo<T extends RevisionOwner> {
  readonly client: KubeClient;
  readonly resource: Resource<T>;
  readonly revisions: Informer<ControllerRevision>;
  /** Where the hash of the template stands among a revision's labels. */
  readonly hashLabel: string;
}

/**
 * Finds, renumbers or creates the revision of the owner's present template. Revisions that an owner of
 * the same selector left behind are adopted first: its pods, adopted as well, are told apart by them.
 */
export async function ensureRevision<T extends RevisionOwner>(
  { client, resource, revisions, hashLabel }: RevisionIo<T>,
  owner: T,
  signal: AbortSignal,
): Promise<CurrentRevision> {
  const claimed = await claimObjects(
    {
      client,
      ownerResource: resource,
      owner,
      resource: controllerrevisions,
      selector: compileLabelSelector(owner.spec.selector),
      candidates: revisions.store.list(owner.metadata.namespace),
    },
    signal,
  );
  const all = sortRevisions(claimed);
  const data = revisionData(owner.spec.template);
  let collisionCount = owner.status?.collisionCount;
  const last = all.at(-1);
  const equal = all.findLast((revision) => jsonEquivalent(revision.data, data));
  if (equal !== undefined) {
    if (equal === last) return { update: equal, all, collisionCount };
    const revision = (last?.revision ?? 0) + 1;
    const update = await client.update(controllerrevisions, { ...equal, revision }, signal);
    const others = all.filter((other) => other !== equal);
    return { update, all: [...others, update], collisionCount };
  }
  for (;;) {
    const hash = templateHash(owner.spec.template, collisionCount);
    const { name, namespace = '' } = owner.metadata;
    const revisionName = `${name.slice(0, 223)}-${hash}`;
    const labels = { ...owner.spec.template.metadata?.labels, [hashLabel]: hash };
    const { annotations } = owner.metadata; // `kubectl rollout history` shows the change cause.
    try {
      const update = await client.create(
        controllerrevisions,
        {
          apiVersion: 'apps/v1',
          kind: 'ControllerRevision',
          metadata: {
            name: revisionName,
            namespace,
            labels,
            ...(annotations === undefined ? {} : { annotations }),
            ownerReferences: [newControllerRef(resource, owner)],
          },
          data,
          revision: (last?.revision ?? 0) + 1,
        },
        signal,
      );
      return { update, all: [...all, update], collisionCount };
    } catch (error) {
      if (!isKubeError(error, 'AlreadyExists')) throw error;
      const at = { name: revisionName, namespace };
      const taken = await client.get(controllerrevisions, at, signal);
      const by = controllerOf(taken);
      const isOurs = by === undefined || (by.kind === resource.kind && by.name === name);
      if (isOurs && jsonEquivalent(taken.data, data)) {
        // The cache was behind: ours, or left by an earlier owner and claimed in the next pass.
        return { update: taken, all: [...all, taken], collisionCount };
      }
      collisionCount = (collisionCount ?? 0) + 1;
    }
  }
}

/** Deletes the oldest revisions beyond the limit that nothing uses. */
export async function trimHistory(
  client: KubeClient,
  owner: RevisionOwner,
  all: readonly ControllerRevision[],
  inUse: (revision: ControllerRevision) => boolean,
  signal: AbortSignal,
): Promise<void> {
  const unused = sortRevisions(all).filter((revision) => !inUse(revision));
  const surplus = unused.length - (owner.spec.revisionHistoryLimit ?? 10);
  for (const { metadata: at } of unused.slice(0, Math.max(0, surplus))) {
    await deleteIfThere(client, { resource: controllerrevisions, at }, signal);
  }
}
