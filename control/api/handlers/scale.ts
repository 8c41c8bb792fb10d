/**
 * The scale subresource: autoscaling/v1 Scale as a view of an object's replicas, read, updated and
 * patched.
 */
import type { KubeObject } from '#base/kube/client.ts';
import type { Scale } from '#base/kube/api/autoscaling-v1.gen.ts';
import { badRequest, invalid } from '../errors.ts';
import type { ApiResponse } from '../exchange.ts';
import type { ServedResource } from '../registry/served-resource.ts';
import { readObject } from './body.ts';
import type { Call, Handler } from './call.ts';
import { parseWriteOptions } from './options.ts';
import { readPatch } from './patch.ts';
import { replyShown } from './reply.ts';
import { notServed } from './router.ts';
import type { ScaleRules, TableRules } from '../resource.ts';
import { age, tableOf } from '../resources/tables.ts';

const GVK = { group: 'autoscaling', version: 'v1', kind: 'Scale' };

const TABLE: TableRules = tableOf<Scale>(
  'Name,Desired:integer,Available:integer,Age',
  ({ metadata, spec, status }, nowMs) => [
    metadata.name,
    spec?.replicas ?? 0,
    status?.replicas ?? 0,
    age(metadata.creationTimestamp, nowMs),
  ],
) as TableRules; // Of Scales, which are all that it is given.

function toScale(object: KubeObject, rules: ScaleRules): Scale {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const selector = rules.selector(object);
  return {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: { replicas: rules.specReplicas(object) },
    status: {
      replicas: rules.statusReplicas(object),
      ...(selector === '' ? {} : { selector }),
    },
  };
}

export const scaleHandler: Handler = async (call) => {
  const { group, version, resource, verb } = call.info;
  const served = call.services.resources.find(group, version, resource);
  const rules = served?.rules.scale;
  if (served === undefined || rules === undefined) return notServed();
  if (verb === 'get') return getScale(call, served, rules);
  return writeScale(call, served, rules);
};

async function getScale(
  call: Call,
  served: ServedResource,
  rules: ScaleRules,
): Promise<ApiResponse> {
  const { namespace, name } = call.info;
  const { registry, signal } = call.services;
  const found = await registry.get(served, served.key(namespace, name), signal);
  return replyShown(call, toScale(found.parse(), rules), TABLE);
}

async function writeScale(
  call: Call,
  served: ServedResource,
  rules: ScaleRules,
): Promise<ApiResponse> {
  const { namespace, name, verb } = call.info;
  const isPatch = verb === 'patch';
  const options = parseWriteOptions(call.query, isPatch ? 'PatchOptions' : 'UpdateOptions');
  const patch = isPatch ? await readPatch(call, GVK) : undefined;
  const whole = isPatch ? undefined : await readObject(call, GVK, options.fieldValidation);
  const written = await call.services.registry.update(
    { resource: served, namespace, name, subresource: 'scale' },
    (current) => {
      if (current === undefined) throw badRequest('cannot scale what does not exist');
      const before = toScale(current, rules);
      // The patch was made for a Scale; the decoder has checked a whole one.
      const scale = (patch === undefined ? whole : patch.apply({ ...before })) as Partial<Scale>;
      const wanted = scale.metadata?.name ?? name;
      if (wanted !== name) {
        throw badRequest(
          `the name of the object (${wanted}) does not match the name on the URL (${name})`,
        );
      }
      const replicas = scale.spec?.replicas ?? 0;
      checkReplicas(replicas, name);
      const version = scale.metadata?.resourceVersion ?? '';
      rules.setSpecReplicas(current, replicas);
      if (version !== '') current.metadata.resourceVersion = version;
      const uid = scale.metadata?.uid ?? '';
      if (uid !== '') current.metadata.uid = uid;
      return current;
    },
    call.writeContext(options.dryRun),
    { isPatch },
  );
  const object: KubeObject = JSON.parse(written.json.toString());
  return replyShown(call, toScale(object, rules), TABLE);
}

function checkReplicas(replicas: number, name: string): void {
  if (Number.isInteger(replicas) && replicas >= 0) return;
  const message = `Invalid value: ${replicas}: must be greater than or equal to 0`;
  const cause = { reason: 'FieldValueInvalid', field: 'spec.replicas', message };
  throw invalid({ group: GVK.group, kind: GVK.kind }, name, [cause]);
}
