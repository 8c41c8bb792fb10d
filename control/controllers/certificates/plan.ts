/**
 * CertificateSigningRequests: which are a kubelet's, which the built-in signers sign, how long a
 * certificate lives, and which requests are old enough to go. Pure; rules and texts are upstream's
 * (pkg/controller/certificates, pkg/apis/certificates/helpers.go).
 */
import type { CertificateSigningRequest } from '#base/kube/api/certificates-v1.gen.ts';
import { findCondition, parseTime } from '#base/kube/metadata.ts';
import type { RequestFacts } from '#base/pki/signing-request.ts';

export const SIGNER_CLIENT = 'kubernetes.io/kube-apiserver-client';
export const SIGNER_KUBELET_CLIENT = 'kubernetes.io/kube-apiserver-client-kubelet';
export const SIGNER_KUBELET_SERVING = 'kubernetes.io/kubelet-serving';

const NODE_PREFIX = 'system:node:';
const LIFETIME_MS_MAX = 365 * 24 * 3_600_000;
const LIFETIME_MS_MIN = 10 * 60_000;
const HOUR_MS = 3_600_000;
const DECIDED_MS_MAX = HOUR_MS;
const PENDING_MS_MAX = 24 * HOUR_MS;

export function isDecided(request: CertificateSigningRequest): boolean {
  const { conditions } = request.status ?? {};
  return (conditions ?? []).some(({ type }) => type === 'Approved' || type === 'Denied');
}

/** Approved, not failed, and without a certificate. */
export function isToSign(request: CertificateSigningRequest): boolean {
  const { conditions, certificate = '' } = request.status ?? {};
  const isTrue = (type: string) => findCondition(conditions, type)?.status === 'True';
  const isDenied = findCondition(conditions, 'Denied') !== undefined;
  return certificate === '' && isTrue('Approved') && !isDenied && !isTrue('Failed');
}

/** Subresources of which one must be granted to the requester, the narrower one first. */
export function approvalRights(
  { spec }: CertificateSigningRequest,
  facts: RequestFacts,
): { readonly subresource: string; readonly message: string }[] {
  if (spec.signerName !== SIGNER_KUBELET_CLIENT) return [];
  if (kubeletClientProblem(facts, spec.usages ?? []) !== undefined) return [];
  const self = {
    subresource: 'selfnodeclient',
    message: 'Auto approving self kubelet client certificate after SubjectAccessReview.',
  };
  const any = {
    subresource: 'nodeclient',
    message: 'Auto approving kubelet client certificate after SubjectAccessReview.',
  };
  return spec.username === facts.commonName ? [self, any] : [any];
}

/** Why the signer named does not sign this; undefined when it does, 'unknown' for signers of others. */
export function signingProblem(
  { spec }: CertificateSigningRequest,
  facts: RequestFacts,
): { readonly message: string } | 'unknown' | undefined {
  const usages = spec.usages ?? [];
  const asProblem = (message: string | undefined) =>
    message === undefined ? undefined : { message };
  switch (spec.signerName) {
    case SIGNER_CLIENT:
      return asProblem(clientProblem(usages));
    case SIGNER_KUBELET_CLIENT:
      return asProblem(kubeletClientProblem(facts, usages));
    case SIGNER_KUBELET_SERVING:
      return asProblem(kubeletServingProblem(facts, usages));
    default:
      return 'unknown';
  }
}

function clientProblem(usages: readonly string[]): string | undefined {
  const known = ['digital signature', 'key encipherment', 'client auth'];
  const other = usages.find((usage) => !known.includes(usage));
  if (other !== undefined) return `invalid usage for client certificate: ${other}`;
  if (usages.includes('client auth')) return undefined;
  return 'missing required usage for client certificate: client auth';
}

function kubeletClientProblem(facts: RequestFacts, usages: readonly string[]): string | undefined {
  if (!isNodesOnly(facts)) return 'subject organization is not system:nodes';
  if (facts.dnsNames.length > 0) return 'DNS subjectAltNames are not allowed';
  if (facts.emails.length > 0) return 'Email subjectAltNames are not allowed';
  if (facts.ips.length > 0) return 'IP subjectAltNames are not allowed';
  if (facts.uris.length > 0) return 'URI subjectAltNames are not allowed';
  return nodeNameProblem(facts) ?? usagesProblem(usages, 'client auth');
}

function kubeletServingProblem(facts: RequestFacts, usages: readonly string[]): string | undefined {
  if (!isNodesOnly(facts)) return 'subject organization is not system:nodes';
  if (facts.dnsNames.length + facts.ips.length === 0) {
    return 'DNS or IP subjectAltName is required';
  }
  if (facts.emails.length > 0) return 'Email subjectAltNames are not allowed';
  if (facts.uris.length > 0) return 'URI subjectAltNames are not allowed';
  return usagesProblem(usages, 'server auth') ?? nodeNameProblem(facts);
}

function isNodesOnly({ organizations }: RequestFacts): boolean {
  return organizations.length === 1 && organizations[0] === 'system:nodes';
}

function nodeNameProblem({ commonName }: RequestFacts): string | undefined {
  if (commonName.startsWith(NODE_PREFIX)) return undefined;
  return 'subject common name does not begin with system:node:';
}

/** Keys that cannot encipher (ECDSA) go without that usage. */
function usagesProblem(usages: readonly string[], purpose: string): string | undefined {
  const all = ['digital signature', 'key encipherment', purpose].sort();
  const has = new Set(usages);
  const isSame = (wanted: readonly string[]) =>
    has.size === wanted.length && wanted.every((usage) => has.has(usage));
  if (isSame(all) || isSame(all.filter((usage) => usage !== 'key encipherment'))) return undefined;
  return `usages did not match [${all.join(' ')}]`;
}

export function lifetimeMs(expirationSeconds: number | undefined): number {
  if (expirationSeconds === undefined) return LIFETIME_MS_MAX;
  return Math.max(LIFETIME_MS_MIN, Math.min(expirationSeconds * 1000, LIFETIME_MS_MAX));
}

/** Decided an hour ago, waiting for a day, or with a certificate that has expired. */
export function isOutdated(
  { metadata, status }: CertificateSigningRequest,
  certificateEndMs: number | undefined,
  nowMs: number,
): boolean {
  const { conditions = [], certificate = '' } = status ?? {};
  const isOlder = (time: string | undefined, ms: number) => {
    const sinceMs = parseTime(time);
    return sinceMs !== undefined && nowMs - sinceMs > ms;
  };
  if (conditions.length === 0) return isOlder(metadata.creationTimestamp, PENDING_MS_MAX);
  return conditions.some(({ type, lastUpdateTime }) => {
    if (type === 'Denied' || type === 'Failed') return isOlder(lastUpdateTime, DECIDED_MS_MAX);
    if (type !== 'Approved') return false;
    if (certificate === '') return isOlder(lastUpdateTime, PENDING_MS_MAX);
    const hasExpired = certificateEndMs !== undefined && nowMs > certificateEndMs;
    return hasExpired || isOlder(lastUpdateTime, DECIDED_MS_MAX);
  });
}
