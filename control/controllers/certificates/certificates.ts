/**
 * The controllers of CertificateSigningRequests: one approves those of kubelets for themselves, one
 * signs what is approved for the signers of kubernetes.io with the cluster's CA, one deletes old ones.
 */
import type { CertificateSigningRequest } from '#base/kube/api/certificates-v1.gen.ts';
import { certificatesigningrequests } from '#base/kube/api/resources.gen.ts';
import { errorText } from '#base/errors.ts';
import { formatTime, keyOf } from '#base/kube/metadata.ts';
import type { RequestFacts } from '#base/pki/signing-request.ts';
import {
  type Controller,
  type ControllerContext,
  runQueueController,
} from '../shared/controller.ts';
import { deleteIfThere } from '../shared/delete.ts';
import {
  approvalRights,
  isDecided,
  isOutdated,
  isToSign,
  lifetimeMs,
  signingProblem,
} from './plan.ts';

/** A right that is missing may be granted later. */
const UNAPPROVED_MS = 60_000;
const CLEAN_MS = 3_600_000;

type Sync = (request: CertificateSigningRequest, signal: AbortSignal) => Promise<number | void>;

function runOnRequests(
  context: ControllerContext,
  name: string,
  sync: Sync,
  signal: AbortSignal,
): Promise<void> {
  const informer = context.informers.informer(certificatesigningrequests);
  return runQueueController(
    context,
    {
      name,
      workers: 2,
      informers: [informer],
      subscribe: (queue) => {
        const add = (request: CertificateSigningRequest) => queue.add(keyOf(request));
        return [informer.addHandler({ onAdd: add, onUpdate: add })];
      },
      sync: async (key, stop) => {
        const request = informer.store.getByKey(key);
        return request === undefined ? undefined : await sync(request, stop);
      },
    },
    signal,
  );
}

/** Loaded when the first request comes: the library is large, and most clusters never need it. */
const pki = () => import('#base/pki/signing-request.ts');

function pemOf(request: CertificateSigningRequest): string {
  return Buffer.from(request.spec.request, 'base64').toString();
}

/** Undefined for what nobody can read: waiting does not mend it. */
async function factsOf(
  context: ControllerContext,
  request: CertificateSigningRequest,
): Promise<RequestFacts | undefined> {
  const { parseSigningRequest } = await pki();
  try {
    return parseSigningRequest(pemOf(request));
  } catch (error) {
    const { name } = request.metadata;
    context.log.warn('cannot read a signing request', { name, error: errorText(error) });
    return undefined;
  }
}

export const certificateApprover: Controller = {
  name: 'certificatesigningrequest-approving-controller',
  run: (context, signal) =>
    runOnRequests(
      context,
      'certificatesigningrequest-approving-controller',
      (request, stop) => approve(context, request, stop),
      signal,
    ),
};

async function approve(
  context: ControllerContext,
  request: CertificateSigningRequest,
  signal: AbortSignal,
): Promise<number | void> {
  if (isDecided(request) || (request.status?.certificate ?? '') !== '') return undefined;
  const facts = await factsOf(context, request);
  const rights = facts === undefined ? [] : approvalRights(request, facts);
  for (const { subresource, message } of rights) {
    if (!(await mayCreate(context, request, subresource, signal))) continue;
    const condition = { type: 'Approved', status: 'True', reason: 'AutoApproved', message };
    const conditions = [...(request.status?.conditions ?? []), condition];
    const { name, resourceVersion } = request.metadata;
    const body = { metadata: { resourceVersion }, status: { conditions } };
    const at = { name, subresource: 'approval' };
    const patch = { type: 'merge' as const, body };
    await context.client.patch(certificatesigningrequests, at, patch, signal);
    return undefined;
  }
  return rights.length === 0 ? undefined : UNAPPROVED_MS;
}

async function mayCreate(
  { client }: ControllerContext,
  { spec }: CertificateSigningRequest,
  subresource: string,
  signal: AbortSignal,
): Promise<boolean> {
  const { username: user, uid, groups, extra } = spec;
  const resourceAttributes = {
    group: 'certificates.k8s.io',
    version: '*',
    resource: 'certificatesigningrequests',
    subresource,
    verb: 'create',
  };
  const body = {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SubjectAccessReview',
    spec: { user, uid, groups, extra, resourceAttributes },
  };
  const path = '/apis/authorization.k8s.io/v1/subjectaccessreviews';
  const answer = await client.raw({ method: 'POST', path, body }, signal);
  return (answer as { status?: { allowed?: boolean } }).status?.allowed === true; // By URL.
}

export const certificateSigner: Controller = {
  name: 'certificatesigningrequest-signing-controller',
  run: (context, signal) =>
    runOnRequests(
      context,
      'certificatesigningrequest-signing-controller',
      (request, stop) => sign(context, request, stop),
      signal,
    ),
};

async function sign(
  context: ControllerContext,
  request: CertificateSigningRequest,
  signal: AbortSignal,
): Promise<void> {
  const { clock, client, config } = context;
  if (!isToSign(request) || config.readRootCaKey === undefined) return;
  const facts = await factsOf(context, request);
  if (facts === undefined) return;
  const problem = signingProblem(request, facts);
  if (problem === 'unknown') return; // Signed by others.
  const nowMs = clock.nowMs();
  let status = request.status ?? {};
  if (problem === undefined) {
    const ca = { certificate: config.readRootCa(), key: config.readRootCaKey() };
    const { usages = [], expirationSeconds } = request.spec;
    const options = { usages, nowMs, lifetimeMs: lifetimeMs(expirationSeconds) };
    const { signRequest } = await pki();
    const certificate = await signRequest(ca, pemOf(request), options);
    status = { ...status, certificate: Buffer.from(certificate).toString('base64') };
  } else {
    const condition = {
      type: 'Failed',
      status: 'True',
      reason: 'SignerValidationFailure',
      message: problem.message,
      lastUpdateTime: formatTime(nowMs),
    };
    status = { ...status, conditions: [...(status.conditions ?? []), condition] };
  }
  await client.updateStatus(certificatesigningrequests, { ...request, status }, signal);
}

export const certificateCleaner: Controller = {
  name: 'certificatesigningrequest-cleaner-controller',
  run: async (context, signal) => {
    const informer = context.informers.informer(certificatesigningrequests);
    await informer.waitForSync(signal);
    for (;;) {
      for (const request of informer.store.list()) {
        const { status, metadata: at } = request;
        const certificate = Buffer.from(status?.certificate ?? '', 'base64').toString();
        const endMs = certificate === '' ? undefined : (await pki()).expiresAtMs(certificate);
        if (!isOutdated(request, endMs, context.clock.nowMs())) continue;
        const what = { resource: certificatesigningrequests, at };
        try {
          await deleteIfThere(context.client, what, signal);
        } catch (error) {
          signal.throwIfAborted();
          const { name } = at;
          context.log.warn('cannot delete a request', { name, error: errorText(error) });
        }
      }
      await context.clock.sleep(CLEAN_MS, signal);
    }
  },
};
