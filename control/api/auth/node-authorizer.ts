/**
 * What a kubelet may do: the fixed rules of ClusterRole system:node, narrowed to what concerns its
 * node: its own Node, lease and CSINode, the pods bound to it, and the secrets, config maps, claims and
 * service accounts that pods bound to it refer to. An index from nodes to those references follows
 * the events of pods.
 * Semantics: kubernetes plugin/pkg/auth/authorizer/node.
 */
import type { Pod } from '#base/kube/api/core-v1.gen.ts';
import type { VolumeAttachment } from '#base/kube/api/storage-v1.gen.ts';
import type { PolicyRule } from '#base/kube/api/rbac-v1.gen.ts';
import type { CacheEvent, ResourceCache } from '../cache/resource-cache.ts';
import type { UserInfo } from '../resource.ts';
import type { Attributes, Decision } from './authorizer.ts';
import { ruleAllows } from './rbac.ts';
import { nodeNameOf } from './users.ts';

type Asked = Extract<Attributes, { kind: 'resource' }>;

const MIRROR = 'kubernetes.io/config.mirror';
const ALLOWED: Decision = { allowed: true, reason: '' };
const no = (reason: string): Decision => ({ allowed: false, reason });
const UNRELATED = (node: string) =>
  no(`no relationship found between node '${node}' and this object`);

interface Indexed {
  readonly node: string;
  /** `secrets/ns/name` and so on. */
  readonly references: readonly string[];
}

export class NodeAuthorizer {
  readonly #rules: readonly PolicyRule[];
  readonly #pods: ResourceCache;
  readonly #claims: ResourceCache;
  readonly #attachments: ResourceCache;
  readonly #byPod = new Map<string, Indexed>();
  /** By node and reference: how many pods hold it. */
  readonly #counts = new Map<string, number>();
  #stale = true;

  constructor(parts: {
    rules: readonly PolicyRule[];
    pods: ResourceCache;
    claims: ResourceCache;
    attachments: ResourceCache;
  }) {
    this.#rules = parts.rules;
    this.#pods = parts.pods;
    this.#claims = parts.claims;
    this.#attachments = parts.attachments;
    this.#pods.subscribe('', {
      onEvent: (event) => this.#onPod(event),
      onReset: () => {
        this.#stale = true;
        return 'stay';
      },
    });
  }

  /** undefined: the user is no kubelet, this authorizer has no opinion. */
  decide(user: UserInfo, asked: Attributes): Decision | undefined {
    const node = nodeNameOf(user);
    if (node === undefined) return undefined;
    if (asked.kind === 'path') return this.#byRules(asked);
    switch (asked.group === '' ? asked.resource : `${asked.group}/${asked.resource}`) {
      case 'secrets':
      case 'configmaps':
        return this.#read(node, asked, ['get', 'list', 'watch']);
      case 'persistentvolumeclaims':
        if (asked.subresource === 'status') return this.#related(node, asked);
        return this.#read(node, asked, ['get']);
      case 'persistentvolumes':
        return this.#read(node, asked, ['get']);
      case 'serviceaccounts':
        return this.#serviceAccount(node, asked);
      case 'coordination.k8s.io/leases':
        if (asked.namespace !== 'kube-node-lease') {
          return no('can only access leases in the "kube-node-lease" system namespace');
        }
        return this.#own(node, asked, 'node lease');
      case 'storage.k8s.io/csinodes':
        return this.#own(node, asked, 'CSINode');
      case 'storage.k8s.io/volumeattachments':
        return this.#attachment(node, asked);
      case 'resource.k8s.io/resourceclaims':
        return this.#read(node, asked, ['get']);
      case 'nodes':
        return this.#node(node, asked);
      case 'pods':
        return this.#pod(node, asked);
      default:
        return this.#byRules(asked);
    }
  }

  #byRules(asked: Attributes): Decision {
    return this.#rules.some((rule) => ruleAllows(rule, asked)) ? ALLOWED : no('');
  }

  #read(node: string, asked: Asked, verbs: readonly string[]): Decision {
    if (!verbs.includes(asked.verb)) return no('can only read resources of this type');
    if (asked.subresource !== '') return no('cannot read subresource');
    return this.#related(node, asked);
  }

  #related(node: string, asked: Asked): Decision {
    if (asked.name === '') return no('No Object name found');
    const { resource, namespace, name } = asked;
    return this.#holds(node, `${resource}/${namespace}/${name}`) ? ALLOWED : UNRELATED(node);
  }

  #serviceAccount(node: string, asked: Asked): Decision {
    if (asked.verb === 'get' && asked.subresource === '') return this.#related(node, asked);
    if (asked.verb !== 'create' || asked.subresource !== 'token') {
      return no('can only create tokens for individual service accounts');
    }
    return this.#related(node, asked);
  }

  #own(node: string, asked: Asked, what: string): Decision {
    if (!['get', 'create', 'update', 'patch', 'delete'].includes(asked.verb)) {
      return no(`can only get, create, update, patch, or delete a ${what}`);
    }
    // The name of a new object is not known here; admission compares it.
    if (asked.verb !== 'create' && asked.name !== node) {
      return no(`can only access ${what} with the same name as the requesting node`);
    }
    return ALLOWED;
  }

  #node(node: string, asked: Asked): Decision {
    if (['get', 'list', 'watch'].includes(asked.verb) && asked.name !== node) {
      if (asked.name === '')
        return no(`node '${node}' cannot read all nodes, only its own Node object`);
      return no(`node '${node}' cannot read '${asked.name}', only its own Node object`);
    }
    return this.#byRules(asked);
  }

  /** Pods that are bound to the node: one by its name, or all by the selector that says so. */
  #pod(node: string, asked: Asked): Decision {
    const { verb, subresource, namespace, name } = asked;
    if (subresource !== '' || !['get', 'list', 'watch'].includes(verb)) return this.#byRules(asked);
    if (verb !== 'get') {
      const terms = (asked.fieldSelector ?? '').split(',').map((t) => t.replace('==', '='));
      if (terms.includes(`spec.nodeName=${node}`)) return ALLOWED;
      if (name === '') return no('can only list/watch pods with spec.nodeName field selector');
    }
    if (this.#stale) this.#refresh();
    return this.#byPod.get(`${namespace}/${name}`)?.node === node ? ALLOWED : UNRELATED(node);
  }

  #attachment(node: string, asked: Asked): Decision {
    if (asked.verb !== 'get') return no('can only get individual resources of this type');
    if (asked.subresource !== '') return no('cannot get subresource');
    const found = this.#attachments.get(asked.name)?.parse() as VolumeAttachment | undefined; // Its cache.
    return found?.spec.nodeName === node ? ALLOWED : UNRELATED(node);
  }

  #holds(node: string, reference: string): boolean {
    if (this.#stale) this.#refresh();
    if ((this.#counts.get(`${node} ${reference}`) ?? 0) > 0) return true;
    if (!reference.startsWith('persistentvolumes/')) return false;
    const volume = reference.split('/')[2] ?? '';
    for (const claim of this.#claims.scan('')) {
      const spec = claim.parse() as { spec?: { volumeName?: string } }; // The cache of claims.
      if (spec.spec?.volumeName !== volume) continue;
      if (this.#counts.has(`${node} persistentvolumeclaims/${claim.key}`)) return true;
    }
    return false;
  }

  #refresh(): void {
    this.#stale = false;
    this.#byPod.clear();
    this.#counts.clear();
    for (const pod of this.#pods.scan('')) this.#put(pod.key, pod.parse() as Pod); // Its cache.
  }

  #onPod(event: CacheEvent): void {
    if (this.#stale) return;
    const known = this.#byPod.get(event.key);
    if (event.current === undefined) this.#drop(event.key);
    // Of the references of a bound pod, only ephemeral containers add some.
    else if (known === undefined || event.current.json.includes('"ephemeralContainers"')) {
      this.#drop(event.key);
      this.#put(event.key, event.current.parse() as Pod); // Its cache.
    }
  }

  #put(key: string, pod: Pod): void {
    const node = pod.spec?.nodeName ?? '';
    if (node === '' || pod.spec === undefined) return;
    // A kubelet makes mirror pods itself: they must open nothing to it.
    const references = pod.metadata.annotations?.[MIRROR] === undefined ? podReferences(pod) : [];
    this.#byPod.set(key, { node, references });
    for (const reference of references) this.#count(`${node} ${reference}`, 1);
  }

  #drop(key: string): void {
    const known = this.#byPod.get(key);
    if (known === undefined) return;
    this.#byPod.delete(key);
    for (const reference of known.references) this.#count(`${known.node} ${reference}`, -1);
  }

  #count(key: string, change: number): void {
    const count = (this.#counts.get(key) ?? 0) + change;
    if (count === 0) this.#counts.delete(key);
    else this.#counts.set(key, count);
  }
}

/** `resource/namespace/name` of everything in its namespace that a pod makes its kubelet read. */
export function podReferences(pod: Pod): string[] {
  const { metadata, spec } = pod;
  const namespace = metadata.namespace ?? '';
  const found = new Set<string>();
  const add = (resource: string, name: string | undefined) => {
    if (name) found.add(`${resource}/${namespace}/${name}`);
  };
  add('serviceaccounts', spec.serviceAccountName);
  for (const secret of spec.imagePullSecrets ?? []) add('secrets', secret.name);
  const containers = [
    ...spec.containers,
    ...(spec.initContainers ?? []),
    ...(spec.ephemeralContainers ?? []),
  ];
  for (const claim of spec.resourceClaims ?? []) add('resourceclaims', claim.resourceClaimName);
  for (const container of containers) {
    for (const from of container.envFrom ?? []) {
      add('configmaps', from.configMapRef?.name);
      add('secrets', from.secretRef?.name);
    }
    for (const { valueFrom } of container.env ?? []) {
      add('configmaps', valueFrom?.configMapKeyRef?.name);
      add('secrets', valueFrom?.secretKeyRef?.name);
    }
  }
  for (const volume of spec.volumes ?? []) {
    add('secrets', volume.secret?.secretName);
    add('configmaps', volume.configMap?.name);
    add('persistentvolumeclaims', volume.persistentVolumeClaim?.claimName);
    if (volume.ephemeral !== undefined) {
      add('persistentvolumeclaims', `${metadata.name}-${volume.name}`);
    }
    add('secrets', volume.csi?.nodePublishSecretRef?.name);
    for (const source of volume.projected?.sources ?? []) {
      add('secrets', source.secret?.name);
      add('configmaps', source.configMap?.name);
    }
  }
  return [...found];
}
