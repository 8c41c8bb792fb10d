/**
 * ResourceQuota: a new object, or one that grows, is charged to the quotas of its namespace before it
 * is stored, and refused when one would be exceeded. Last in the chain: nothing is charged for what
 * another plugin refuses. What was charged and then not stored is given back by the quota
 * controller's recount. What counts is in control/quota.
 * Source: kubernetes apiserver plugin/pkg/admission/resourcequota.
 */
import type { Pod, ResourceQuota } from '#base/kube/api/core-v1.gen.ts';
import type { KubeObject } from '#base/kube/client.ts';
import {
  describeMissing,
  isInScope,
  admit,
  unknownStatus,
  usageDelta,
  usageOf,
} from '#control/quota/quota.ts';
import { forbidden } from '../errors.ts';
import type { AdmissionPlugin, AdmissionRequest, WriteContext } from '../registry/admission.ts';
import type { ServedResource } from '../registry/served-resource.ts';

/** Kinds of which an update can use more. */
const GROWING: ReadonlySet<string> = new Set(['pods', 'services', 'persistentvolumeclaims']);

/** Registry.mutate(), bound after the registry is made. */
export type ChargeQuota = (
  at: { namespace: string; name: string },
  change: (quota: KubeObject) => void,
  context: WriteContext,
) => Promise<void>;

export class ResourceQuotaAdmission implements AdmissionPlugin {
  readonly name = 'ResourceQuota';
  readonly #quotas: ServedResource;
  readonly #charge: ChargeQuota;

  constructor(parts: { quotas: ServedResource; charge: ChargeQuota }) {
    this.#quotas = parts.quotas;
    this.#charge = parts.charge;
  }

  async validate(request: AdmissionRequest): Promise<void> {
    const { operation, resource, subresource, namespace, object, old, context } = request;
    if (object === undefined || namespace === '') return;
    const { group, resource: name } = resource.facts;
    const isCreate = operation === 'CREATE' && subresource === '';
    const isGrowing =
      operation === 'UPDATE' &&
      group === '' &&
      GROWING.has(name) &&
      (subresource === '' || subresource === 'resize');
    if (!isCreate && !isGrowing) return;
    const of = { group, resource: name };
    const quotas = [...this.#quotas.cache.scan(`${namespace}/`)]
      .map((cached) => cached.parse() as ResourceQuota) // The cache of quotas holds quotas.
      .filter((quota) => isInScope(quota, of, object));
    if (quotas.length === 0) return;
    const before = isCreate || old === undefined ? new Map() : usageOf(of, old);
    const delta = usageDelta(usageOf(of, object), before);
    const refuse = (because: string) => forbidden(resource.groupResource, request.name, because);
    const concerned: ResourceQuota[] = [];
    for (const quota of quotas) {
      const isPod = isCreate && group === '' && name === 'pods';
      const missing = isPod ? describeMissing(quota, object as Pod) : undefined; // By resource.
      if (missing !== undefined) throw refuse(`failed quota: ${quota.metadata.name}: ${missing}`);
      const unknown = unknownStatus(quota, delta);
      if (unknown !== undefined) throw refuse(unknown);
      const answer = admit(quota, delta);
      if (answer.kind === 'exceeded') throw refuse(answer.message);
      if (answer.kind === 'charged') concerned.push(quota);
    }
    for (const { metadata } of concerned) {
      const change = (current: KubeObject) => {
        const quota = current as ResourceQuota; // The registry of quotas holds quotas.
        const answer = admit(quota, delta);
        if (answer.kind === 'exceeded') throw refuse(answer.message);
        if (answer.kind === 'charged') quota.status = { ...quota.status, used: answer.used };
      };
      await this.#charge({ namespace, name: metadata.name }, change, context);
    }
  }
}
