/**
 * serviceaccounts/token (TokenRequest), TokenReview, and the documents of the OIDC issuer.
 * Source: kubernetes pkg/registry/core/serviceaccount/storage/token.go.
 */
import type { Pod } from '#base/kube/api/core-v1.gen.ts';
import type { KubernetesClaim } from '../auth/service-account-tokens.ts';
import { nodeNameOf, withAuthenticatedGroup } from '../auth/users.ts';
import { badRequest, conflict, forbidden, invalid, notFound } from '../errors.ts';
import type { ApiResponse } from '../exchange.ts';
import { formatTime } from '../registry/codec.ts';
import { readAs } from './body.ts';
import type { Call } from './call.ts';
import { replyObject } from './reply.ts';

const GVK = { group: 'authentication.k8s.io', version: 'v1', kind: 'TokenRequest' };
const SECONDS_DEFAULT = 3600;
const SECONDS_MIN = 600;
const SECONDS_MAX = 2 ** 32;
/** What kubelets ask for; such tokens live a year, and are reported as old after the hour. */
const EXTENDED_REQUEST_SECONDS = 3607;
const EXTENDED_SECONDS = 365 * 24 * 3600;

interface TokenRequest {
  metadata?: { name?: string; namespace?: string; uid?: string };
  spec?: {
    audiences?: string[];
    expirationSeconds?: number;
    boundObjectRef?: { kind?: string; apiVersion?: string; name?: string; uid?: string };
  };
}

interface TokenReview {
  metadata?: object;
  spec?: { token?: string; audiences?: string[] };
}

export async function requestToken(call: Call): Promise<ApiResponse> {
  const { namespace, name } = call.info;
  const request = await readAs<TokenRequest>(call, GVK);
  const { registry, resources, signal, tokens } = call.services;
  const accounts = resources.must('', 'v1', 'serviceaccounts');
  checkNames(request, { namespace, name });
  const account = (await registry.get(accounts, `${namespace}/${name}`, signal)).parse();
  const { uid } = account.metadata;
  const wantedUid = request.metadata?.uid ?? '';
  if (wantedUid !== '' && wantedUid !== uid) {
    throw conflict(
      { group: GVK.group, resource: GVK.kind },
      name,
      `the UID in the token request (${wantedUid}) does not match the UID of the service account (${uid})`,
    );
  }
  const seconds = checkSeconds(request.spec?.expirationSeconds ?? SECONDS_DEFAULT);
  const given = request.spec?.audiences ?? [];
  const audiences = given.length > 0 ? given : [tokens.issuer];
  const bound = bindTo(call, request, name);
  checkNode(call, request);
  const isOwn = audiences.every((a) => a === tokens.issuer);
  const extended = bound.pod !== undefined && seconds === EXTENDED_REQUEST_SECONDS && isOwn;
  const nowSeconds = Math.floor(call.nowMs / 1000);
  const { token } = await tokens.sign({
    audiences,
    expirationSeconds: extended ? EXTENDED_SECONDS : seconds,
    kubernetes: {
      namespace,
      ...bound,
      serviceaccount: { name, uid },
      ...(extended ? { warnafter: nowSeconds + seconds } : {}),
    },
  });
  const answer = {
    kind: GVK.kind,
    apiVersion: 'authentication.k8s.io/v1',
    metadata: { name, namespace, uid, creationTimestamp: formatTime(call.nowMs) },
    spec: {
      audiences,
      expirationSeconds: seconds,
      boundObjectRef: request.spec?.boundObjectRef ?? null,
    },
    status: { token, expirationTimestamp: formatTime((nowSeconds + seconds) * 1000) },
  };
  return replyObject(201, answer, call.format());
}

function checkNames(request: TokenRequest, url: { namespace: string; name: string }): void {
  for (const field of ['name', 'namespace'] as const) {
    const value = request.metadata?.[field] ?? '';
    if (value === '' || value === url[field]) continue;
    const message = `Invalid value: ${JSON.stringify(value)}: must match the service account ${field} if specified`;
    const cause = { reason: 'FieldValueInvalid', field: `metadata.${field}`, message };
    throw invalid(GVK, url.name, [cause]);
  }
}

function checkSeconds(seconds: number): number {
  const field = 'spec.expirationSeconds';
  const reason = 'FieldValueInvalid';
  if (seconds < SECONDS_MIN) {
    const message = `Invalid value: ${seconds}: may not specify a duration less than 10 minutes`;
    throw invalid(GVK, '', [{ reason, field, message }]);
  }
  if (seconds > SECONDS_MAX) {
    const message = `Invalid value: ${seconds}: may not specify a duration larger than 2^32 seconds`;
    throw invalid(GVK, '', [{ reason, field, message }]);
  }
  return seconds;
}

function bindTo(
  call: Call,
  request: TokenRequest,
  account: string,
): Partial<Pick<KubernetesClaim, 'pod' | 'secret' | 'node'>> {
  const reference = request.spec?.boundObjectRef;
  if (reference === undefined || reference === null) return {};
  const { kind = '', apiVersion = '', name = '', uid: wanted = '' } = reference;
  const { namespace } = call.info;
  const find = (resource: string, key: string) => {
    const served = call.services.resources.must('', 'v1', resource);
    const found = served.cache.get(key);
    if (found === undefined) throw notFound(served.groupResource, name);
    const object = found.parse();
    if (wanted !== '' && wanted !== object.metadata.uid) {
      throw conflict(
        { group: '', resource: kind },
        name,
        `the UID in the bound object reference (${wanted}) does not match the UID in record. ` +
          'The object might have been deleted and then recreated',
      );
    }
    return object;
  };
  if (apiVersion === 'v1' && kind === 'Pod') {
    const pod = find('pods', `${namespace}/${name}`) as Pod; // The cache of pods.
    if (pod.spec?.serviceAccountName !== account) {
      throw badRequest(
        `cannot bind token for serviceaccount ${JSON.stringify(account)} to pod running with ` +
          'different serviceaccount name.',
      );
    }
    const nodeName = pod.spec.nodeName ?? '';
    const node = call.services.resources.must('', 'v1', 'nodes').cache.get(nodeName)?.parse();
    return {
      pod: { name, uid: pod.metadata.uid },
      ...(nodeName === '' ? {} : { node: { name: nodeName, uid: node?.metadata.uid ?? '' } }),
    };
  }
  if (apiVersion === 'v1' && kind === 'Secret') {
    return { secret: { name, uid: find('secrets', `${namespace}/${name}`).metadata.uid } };
  }
  if (apiVersion === 'v1' && kind === 'Node') {
    return { node: { name, uid: find('nodes', name).metadata.uid } };
  }
  throw badRequest(`cannot bind token to object of type ${apiVersion}, Kind=${kind}`);
}

/**
 * A kubelet gets tokens for the pods on its node only, which end with them. Source: kubernetes
 * plugin/pkg/admission/noderestriction.
 */
function checkNode(call: Call, request: TokenRequest): void {
  const node = nodeNameOf(call.user);
  if (node === undefined) return;
  const { namespace } = call.info;
  const { resources } = call.services;
  const { groupResource } = resources.must('', 'v1', 'serviceaccounts');
  const refuse = (because: string) => forbidden(groupResource, call.info.name, because);
  const { kind, name = '', uid = '' } = request.spec?.boundObjectRef ?? {};
  if (kind !== 'Pod' || name === '') throw refuse('node requested token not bound to a pod');
  if (uid === '') throw refuse('node requested token with a pod binding without a uid');
  const pod = resources.must('', 'v1', 'pods').cache.get(`${namespace}/${name}`)?.parse();
  if ((pod as Pod | undefined)?.spec?.nodeName === node) return; // The cache of pods.
  throw refuse('node requested token bound to a pod scheduled on a different node');
}

export async function reviewToken(call: Call): Promise<ApiResponse> {
  const kind = 'TokenReview';
  const gvk = { group: 'authentication.k8s.io', version: 'v1', kind };
  const review = await readAs<TokenReview>(call, gvk);
  const token = review.spec?.token ?? '';
  if (token === '') throw badRequest('token is required for TokenReview in authentication');
  const { tokens } = call.services;
  const asked = review.spec?.audiences ?? [];
  const checked = await tokens.check(token, asked.length > 0 ? asked : [tokens.issuer]);
  const status =
    typeof checked === 'string'
      ? { user: {}, error: checked }
      : { authenticated: true, user: userInfo(checked.user), audiences: checked.audiences };
  const answer = { kind, apiVersion: 'authentication.k8s.io/v1', metadata: {}, ...review, status };
  return replyObject(201, answer, call.format());
}

/** A user as authentication.k8s.io/v1 UserInfo. */
export function userInfo(user: Call['user']): Record<string, unknown> {
  const { name, uid, groups, extra } = withAuthenticatedGroup(user);
  return {
    username: name,
    ...(uid === '' ? {} : { uid }),
    groups,
    ...(Object.keys(extra).length === 0 ? {} : { extra }),
  };
}

/** undefined: the path is none of the issuer's documents. */
export function oidcDocument(
  call: Call,
  server: string,
): ApiResponse | Promise<ApiResponse> | undefined {
  const { tokens } = call.services;
  switch (call.info.path) {
    case '/.well-known/openid-configuration':
      return replyObject(200, {
        issuer: tokens.issuer,
        jwks_uri: `https://${server}/openid/v1/jwks`,
        response_types_supported: ['id_token'],
        subject_types_supported: ['public'],
        id_token_signing_alg_values_supported: [tokens.algorithm],
      });
    case '/openid/v1/jwks':
      return keySet(call);
    default:
      return undefined;
  }
}

async function keySet(call: Call): Promise<ApiResponse> {
  const body = Buffer.from(JSON.stringify(await call.services.tokens.jwks()));
  return { status: 200, headers: { 'content-type': 'application/jwk-set+json' }, body };
}
