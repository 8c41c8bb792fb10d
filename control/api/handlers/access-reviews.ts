/**
 * SubjectAccessReview and its kin, SelfSubjectReview and SelfSubjectRulesReview: the authorizer's
 * answers as API objects. Source: kubernetes pkg/registry/authorization.
 */
import type { PolicyRule } from '#base/kube/api/rbac-v1.gen.ts';
import type { Attributes } from '../auth/authorizer.ts';
import { GROUP_MASTERS, nodeNameOf } from '../auth/users.ts';
import { badRequest, invalid } from '../errors.ts';
import type { ApiResponse } from '../exchange.ts';
import { formatTime } from '../registry/codec.ts';
import type { UserInfo } from '../resource.ts';
import { readAs, readObject } from './body.ts';
import type { Call } from './call.ts';
import { replyObject } from './reply.ts';
import { userInfo } from './tokens.ts';

const GROUP = 'authorization.k8s.io';

interface ReviewSpec {
  resourceAttributes?: {
    namespace?: string;
    verb?: string;
    group?: string;
    version?: string;
    resource?: string;
    subresource?: string;
    name?: string;
    fieldSelector?: {
      rawSelector?: string;
      requirements?: { key: string; operator: string; values?: string[] }[];
    };
  };
  nonResourceAttributes?: { path?: string; verb?: string };
  user?: string;
  groups?: string[];
  uid?: string;
  extra?: Record<string, string[]>;
}

interface Review {
  metadata?: { namespace?: string };
  spec?: ReviewSpec;
}

function read<T = Review>(call: Call, kind: string): Promise<T> {
  return readAs<T>(call, { group: GROUP, version: 'v1', kind });
}

function attributesOf(spec: ReviewSpec): Attributes | undefined {
  const { resourceAttributes: r, nonResourceAttributes: n } = spec;
  if (r !== undefined && n === undefined) {
    const selector = r.fieldSelector;
    const terms = (selector?.requirements ?? [])
      .filter((q) => q.operator === 'In' && q.values?.length === 1)
      .map((q) => `${q.key}=${q.values?.[0]}`);
    return {
      kind: 'resource',
      verb: r.verb ?? '',
      group: r.group ?? '',
      version: r.version ?? '',
      resource: r.resource ?? '',
      subresource: r.subresource ?? '',
      namespace: r.namespace ?? '',
      name: r.name ?? '',
      fieldSelector: selector?.rawSelector ?? (terms.length > 0 ? terms.join(',') : undefined),
    };
  }
  if (n !== undefined && r === undefined) {
    return { kind: 'path', verb: n.verb ?? '', path: n.path ?? '' };
  }
  return undefined;
}

function answer(call: Call, kind: string, review: Review, user: UserInfo): ApiResponse {
  const attributes = attributesOf(review.spec ?? {});
  if (attributes === undefined) {
    const message =
      'Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified';
    const cause = { reason: 'FieldValueInvalid', field: 'spec.resourceAttributes', message };
    throw invalid({ group: GROUP, kind }, '', [cause]);
  }
  const { allowed, reason } = call.services.authorizer.decide(user, attributes);
  const status = { allowed, ...(reason === '' ? {} : { reason }) };
  const object = {
    kind,
    apiVersion: `${GROUP}/v1`,
    metadata: { ...review.metadata },
    spec: review.spec,
    status,
  };
  return replyObject(201, object, call.format());
}

function userOf(spec: ReviewSpec, kind: string): UserInfo {
  const { user = '', groups = [], uid = '', extra = {} } = spec;
  if (user === '' && groups.length === 0) {
    const message = 'Invalid value: "": at least one of user or group must be specified';
    const cause = { reason: 'FieldValueInvalid', field: 'spec.user', message };
    throw invalid({ group: GROUP, kind }, '', [cause]);
  }
  return { name: user, groups, uid, extra };
}

export async function subjectAccessReview(call: Call): Promise<ApiResponse> {
  const kind = 'SubjectAccessReview';
  const review = await read(call, kind);
  return answer(call, kind, review, userOf(review.spec ?? {}, kind));
}

export async function selfSubjectAccessReview(call: Call): Promise<ApiResponse> {
  const kind = 'SelfSubjectAccessReview';
  return answer(call, kind, await read(call, kind), call.user);
}

export async function localSubjectAccessReview(call: Call): Promise<ApiResponse> {
  const kind = 'LocalSubjectAccessReview';
  const review = await read(call, kind);
  const { namespace } = call.info;
  const asked = review.spec?.resourceAttributes?.namespace ?? '';
  if (asked !== namespace) {
    throw badRequest(
      `spec.resourceAttributes.namespace must match namespace: ${namespace}, got ${asked}`,
    );
  }
  return answer(call, kind, review, userOf(review.spec ?? {}, kind));
}

export async function selfSubjectRulesReview(call: Call): Promise<ApiResponse> {
  const kind = 'SelfSubjectRulesReview';
  const review = await read<{ spec?: { namespace?: string } }>(call, kind);
  const namespace = review.spec?.namespace ?? '';
  if (namespace === '') throw badRequest('no namespace on request');
  const rules = isMaster(call.user) ? ALL_RULES : call.services.rbac.rules(call.user, namespace);
  const status = {
    resourceRules: rules.filter((r) => r.resources !== undefined).map(resourceRule),
    nonResourceRules: rules
      .filter((r) => r.nonResourceURLs !== undefined)
      .map(({ verbs, nonResourceURLs }) => ({ verbs, nonResourceURLs })),
    incomplete: nodeNameOf(call.user) !== undefined,
  };
  const object = { kind, apiVersion: `${GROUP}/v1`, metadata: {}, spec: { namespace }, status };
  return replyObject(201, object, call.format());
}

const ALL_RULES: PolicyRule[] = [
  { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
  { verbs: ['*'], nonResourceURLs: ['*'] },
];

function isMaster(user: UserInfo): boolean {
  return user.groups.includes(GROUP_MASTERS);
}

function resourceRule({ verbs, apiGroups, resources, resourceNames }: PolicyRule) {
  return { verbs, apiGroups, resources, ...(resourceNames === undefined ? {} : { resourceNames }) };
}

export async function selfSubjectReview(call: Call): Promise<ApiResponse> {
  const kind = 'SelfSubjectReview';
  const gvk = { group: 'authentication.k8s.io', version: 'v1', kind };
  await readObject(call, gvk);
  const object = {
    kind,
    apiVersion: 'authentication.k8s.io/v1',
    metadata: { creationTimestamp: formatTime(call.nowMs) },
    status: { userInfo: userInfo(call.user) },
  };
  return replyObject(201, object, call.format());
}
