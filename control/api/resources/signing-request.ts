/** Rules of certificates.k8s.io/v1 CertificateSigningRequests. Source: kubernetes v1.36.3 pkg/apis/certificates. */
import type {
  CertificateSigningRequest,
  CertificateSigningRequestCondition,
} from '#base/kube/api/certificates-v1.gen.ts';
import type { ResourceRules, UserInfo } from '../resource.ts';
import type { FieldErrors } from './field-errors.ts';
import { given } from './given.ts';
import { pathName, validateMeta, validateMetaUpdate } from './meta.ts';
import { validateBySchema } from './schema-checks.ts';
import { validateSignerName } from './signer-names.ts';
import { collect, collectUpdate, copyField } from './strategies.ts';
import { age, humanDuration, NONE, tableOf } from './tables.ts';

const META = { namespaced: false, name: pathName };
const KIND = { group: 'certificates.k8s.io', version: 'v1', kind: 'CertificateSigningRequest' };
const SECONDS_MIN = 600;
const PEM = /-----BEGIN CERTIFICATE REQUEST-----/;

function validateRequest(e: FieldErrors, request: CertificateSigningRequest): void {
  validateMeta(e, request.metadata, META);
  const {
    request: body = '',
    usages = [],
    signerName = '',
    expirationSeconds,
  } = given(request.spec);
  if (!PEM.test(atob(body))) {
    const detail = 'PEM block type must be CERTIFICATE REQUEST';
    e.invalid('spec.request', body, detail);
  }
  if (usages.length === 0) e.required('spec.usages');
  for (const [i, usage] of usages.entries()) {
    if (usages.indexOf(usage) < i) e.duplicate(`spec.usages[${i}]`, usage);
  }
  if (signerName === 'kubernetes.io/legacy-unknown') {
    const detail = 'the legacy signerName is not allowed via this API version';
    e.invalid('spec.signerName', signerName, detail);
  } else validateSignerName(e, 'spec.signerName', signerName);
  if (expirationSeconds !== undefined && expirationSeconds < SECONDS_MIN) {
    const detail = 'may not specify a duration less than 600 seconds (10 minutes)';
    e.invalid('spec.expirationSeconds', expirationSeconds, detail);
  }
  if (e.ok) validateBySchema(e, KIND, request);
}

function setRequester(request: CertificateSigningRequest, user: UserInfo): void {
  const { spec } = request;
  for (const field of ['username', 'uid', 'groups', 'extra'] as const) delete spec[field];
  if (user.name !== '') spec.username = user.name;
  if (user.uid !== '') spec.uid = user.uid;
  if (user.groups.length > 0) spec.groups = [...user.groups];
  const extra = Object.entries(user.extra).map(([key, values]) => [key, [...values]]);
  if (extra.length > 0) spec.extra = Object.fromEntries(extra) as Record<string, string[]>; // Just built.
}

type Conditions = CertificateSigningRequestCondition[];

function stampConditions(conditions: Conditions, old: Conditions, nowMs: number): void {
  const now = `${new Date(nowMs).toISOString().slice(0, 19)}Z`;
  for (const [i, condition] of conditions.entries()) {
    if (condition.status === undefined || condition.status === ('' as string))
      condition.status = 'True';
    condition.lastUpdateTime ??= now;
    if (condition.lastTransitionTime !== undefined) continue;
    const before = old[i];
    const isSame = before?.type === condition.type && before.status === condition.status;
    condition.lastTransitionTime = (isSame ? before.lastTransitionTime : undefined) ?? now;
  }
}

/** Only the approval endpoint decides: others keep the decisions that are stored. */
function keepDecisions(request: CertificateSigningRequest, old: CertificateSigningRequest): void {
  const own = (request.status?.conditions ?? []).filter(
    ({ type }) => type !== 'Approved' && type !== 'Denied',
  );
  const kept = (old.status?.conditions ?? []).filter(
    ({ type }) => type === 'Approved' || type === 'Denied',
  );
  if (own.length + kept.length === 0) return;
  request.status = { ...request.status, conditions: [...kept, ...own] };
}

function validateConditions(
  e: FieldErrors,
  request: CertificateSigningRequest,
  old: CertificateSigningRequest,
): void {
  validateMetaUpdate(e, request.metadata, old.metadata, {});
  const conditions = request.status?.conditions ?? [];
  const types = new Set<string>();
  for (const [i, { type, status }] of conditions.entries()) {
    const at = `status.conditions[${i}]`;
    if (type === '') e.required(`${at}.type`);
    else if (types.has(type)) e.duplicate(`${at}.type`, type);
    types.add(type);
    if (['Approved', 'Denied', 'Failed'].includes(type) && status !== 'True') {
      e.notSupported(`${at}.status`, status, ['True']);
    }
    const other = type === 'Approved' ? 'Denied' : type === 'Denied' ? 'Approved' : undefined;
    if (other !== undefined && types.has(other)) {
      e.invalid(`${at}.type`, type, 'Approved and Denied conditions are mutually exclusive');
    }
  }
  for (const type of ['Approved', 'Denied', 'Failed']) {
    const had = (old.status?.conditions ?? []).some((condition) => condition.type === type);
    if (had && !types.has(type)) {
      e.forbidden('status.conditions', `updates may not remove a condition of type "${type}"`);
    }
  }
}

function conditionCell({ status }: CertificateSigningRequest): string {
  const types = new Set((status?.conditions ?? []).map(({ type }) => type));
  const decision = types.has('Denied') ? 'Denied' : types.has('Approved') ? 'Approved' : 'Pending';
  const failed = types.has('Failed') ? ',Failed' : '';
  const issued = (status?.certificate ?? '') === '' ? '' : ',Issued';
  return `${decision}${failed}${issued}`;
}

export const signingRequestRules: ResourceRules<CertificateSigningRequest> = {
  group: KIND.group,
  version: KIND.version,
  resource: 'certificatesigningrequests',
  prepareForCreate(request, { user }) {
    setRequester(request, user);
    request.status = {};
  },
  validate: (request) => collect((e) => validateRequest(e, request)),
  prepareForUpdate(request, old) {
    copyField(request, old, 'spec');
    copyField(request, old, 'status');
  },
  validateUpdate: (request, old) =>
    collectUpdate(request, old, META, (e) => validateConditions(e, request, old)),
  fieldLabels: ['spec.signerName'],
  selectableFields: ({ spec }) => ({ 'spec.signerName': spec.signerName }),
  subresources: {
    status: {
      prepareForUpdate(request, old, { nowMs }) {
        copyField(request, old, 'spec');
        keepDecisions(request, old);
        stampConditions(request.status?.conditions ?? [], old.status?.conditions ?? [], nowMs);
      },
      validateUpdate: (request, old) =>
        collectUpdate(request, old, META, (e) => validateConditions(e, request, old)),
    },
    approval: {
      prepareForUpdate(request, old, { nowMs }) {
        const conditions = request.status?.conditions ?? [];
        stampConditions(conditions, old.status?.conditions ?? [], nowMs);
        copyField(request, old, 'spec');
        request.status = { ...old.status };
        if (conditions.length > 0) request.status.conditions = conditions;
        else delete request.status.conditions;
      },
      validateUpdate: (request, old) =>
        collectUpdate(request, old, META, (e) => validateConditions(e, request, old)),
    },
  },
  table: tableOf('Name,Age,SignerName,Requestor,RequestedDuration,Condition', (request, nowMs) => {
    const { metadata, spec } = request;
    const seconds = spec.expirationSeconds;
    return [
      metadata.name,
      age(metadata.creationTimestamp, nowMs),
      spec.signerName || NONE,
      spec.username ?? '',
      seconds === undefined ? NONE : humanDuration(seconds * 1000),
      conditionCell(request),
    ];
  }),
};
