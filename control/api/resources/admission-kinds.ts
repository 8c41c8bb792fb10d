/**
 * Rules of admissionregistration.k8s.io/v1 kinds: webhook configurations, admission policies and their
 * bindings. Source: kubernetes v1.36.3 pkg/apis/admissionregistration.
 */
import type {
  MatchResources,
  MutatingAdmissionPolicy,
  MutatingAdmissionPolicyBinding,
  MutatingWebhook,
  MutatingWebhookConfiguration,
  ParamRef,
  RuleWithOperations,
  ValidatingAdmissionPolicy,
  ValidatingAdmissionPolicyBinding,
  ValidatingWebhook,
  ValidatingWebhookConfiguration,
} from '#base/kube/api/admissionregistration-v1.gen.ts';
import type { FieldErrors } from './field-errors.ts';
import { checkDnsSubdomain } from './formats.ts';
import { given } from './given.ts';
import { validateLabelSelector } from './meta.ts';
import { plainRules } from './plain-kinds.ts';
import { sameValue } from './same-value.ts';
import { resetMetaForStatus } from './strategies.ts';
import { age, selectorText, tableOf, UNSET } from './tables.ts';

const GROUP = {
  group: 'admissionregistration.k8s.io',
  version: 'v1',
  hasGeneration: true,
  allowUnconditionalUpdate: false,
} as const;
const SECONDS_MAX = 30;
const HTTPS_PORT = 443;
const LABELS_OF_NAME_MIN = 3;

type Webhook = ValidatingWebhook | MutatingWebhook;

function defaultWebhook(webhook: Webhook): void {
  webhook.failurePolicy ??= 'Fail';
  webhook.matchPolicy ??= 'Equivalent';
  webhook.namespaceSelector ??= {};
  webhook.objectSelector ??= {};
  webhook.timeoutSeconds ??= 10;
  if (webhook.clientConfig?.service !== undefined) webhook.clientConfig.service.port ??= HTTPS_PORT;
  for (const rule of webhook.rules ?? []) rule.scope ??= '*';
}

function validateWebhook(e: FieldErrors, at: string, webhook: Webhook): void {
  const { name = '', clientConfig = {}, timeoutSeconds = 0 } = given(webhook);
  const nameProblems = checkDnsSubdomain(name);
  if (name === '') e.required(`${at}.name`);
  else if (nameProblems.length > 0) e.invalidEach(`${at}.name`, name, nameProblems);
  else if (name.split('.').length < LABELS_OF_NAME_MIN) {
    const detail = 'should be a domain with at least three segments separated by dots';
    e.invalid(`${at}.name`, name, detail);
  }
  for (const [i, rule] of (webhook.rules ?? []).entries()) {
    validateRule(e, `${at}.rules[${i}]`, rule);
  }
  if (timeoutSeconds < 1 || timeoutSeconds > SECONDS_MAX) {
    const detail = `the timeout value must be between 1 and ${SECONDS_MAX} seconds`;
    e.invalid(`${at}.timeoutSeconds`, timeoutSeconds, detail);
  }
  for (const field of ['namespaceSelector', 'objectSelector'] as const) {
    const selector = webhook[field];
    if (selector !== undefined) validateLabelSelector(e, `${at}.${field}`, selector);
  }
  const { url, service } = clientConfig;
  if ((url === undefined) === (service === undefined)) {
    e.required(`${at}.clientConfig`, 'exactly one of url or service is required');
  }
  const versions = given(webhook).admissionReviewVersions ?? [];
  if (versions.length === 0) {
    const detail = 'must specify one of v1, v1beta1';
    e.required(`${at}.admissionReviewVersions`, detail);
  }
  const effects = given(webhook).sideEffects ?? '';
  if (effects === '') e.required(`${at}.sideEffects`, 'must specify one of None, NoneOnDryRun');
  else if (effects !== 'None' && effects !== 'NoneOnDryRun') {
    e.notSupported(`${at}.sideEffects`, effects, ['None', 'NoneOnDryRun']);
  }
}

function validateRule(e: FieldErrors, at: string, rule: RuleWithOperations): void {
  for (const field of ['operations', 'apiGroups', 'apiVersions', 'resources'] as const) {
    const list = rule[field] ?? [];
    if (list.length === 0) e.required(`${at}.${field}`);
    if (list.length > 1 && list.includes('*') && field !== 'resources') {
      const detail = "if '*' is present, must not specify other ";
      const what = {
        operations: 'operations',
        apiGroups: 'API groups',
        apiVersions: 'API versions',
      };
      e.invalid(`${at}.${field}`, list, `${detail}${what[field]}`);
    }
  }
}

function validateWebhooks(e: FieldErrors, webhooks: readonly Webhook[]): void {
  const names = new Set<string>();
  for (const [i, webhook] of webhooks.entries()) {
    const at = `webhooks[${i}]`;
    validateWebhook(e, at, webhook);
    if (names.has(webhook.name)) e.duplicate(`${at}.name`, webhook.name);
    names.add(webhook.name);
  }
}

export const validatingWebhookRules = plainRules<ValidatingWebhookConfiguration>({
  ...GROUP,
  resource: 'validatingwebhookconfigurations',
  default({ webhooks = [] }) {
    for (const webhook of webhooks) defaultWebhook(webhook);
  },
  check: (e, { webhooks = [] }) => validateWebhooks(e, webhooks),
  bumpsGeneration: (own, old) => !sameValue(own.webhooks, old.webhooks),
  table: tableOf('Name,Webhooks:integer,Age', ({ metadata, webhooks = [] }, nowMs) => [
    metadata.name,
    webhooks.length,
    age(metadata.creationTimestamp, nowMs),
  ]),
});

export const mutatingWebhookRules = plainRules<MutatingWebhookConfiguration>({
  ...GROUP,
  resource: 'mutatingwebhookconfigurations',
  default({ webhooks = [] }) {
    for (const webhook of webhooks) {
      defaultWebhook(webhook);
      webhook.reinvocationPolicy ??= 'Never';
    }
  },
  check: (e, { webhooks = [] }) => validateWebhooks(e, webhooks),
  bumpsGeneration: (own, old) => !sameValue(own.webhooks, old.webhooks),
  table: tableOf('Name,Webhooks:integer,Age', ({ metadata, webhooks = [] }, nowMs) => [
    metadata.name,
    webhooks.length,
    age(metadata.creationTimestamp, nowMs),
  ]),
});

function defaultMatch(match: MatchResources | undefined): void {
  if (match === undefined) return;
  match.matchPolicy ??= 'Equivalent';
  match.namespaceSelector ??= {};
  match.objectSelector ??= {};
  for (const rule of [...(match.resourceRules ?? []), ...(match.excludeResourceRules ?? [])]) {
    rule.scope ??= '*';
  }
}

function paramCell(param: ParamRef | undefined): string {
  if (param === undefined) return UNSET;
  const name = param.name ?? '';
  if (name !== '') return `${param.namespace || '*'}/${name}`;
  return param.selector === undefined ? UNSET : selectorText(param.selector);
}

const kindCell = (
  kind: { apiVersion?: string | undefined; kind?: string | undefined } | undefined,
) => (kind === undefined ? UNSET : `${kind.apiVersion ?? ''}/${kind.kind ?? ''}`);

const validatingPolicy = plainRules<ValidatingAdmissionPolicy>({
  ...GROUP,
  resource: 'validatingadmissionpolicies',
  default(policy) {
    policy.spec ??= {};
    policy.spec.failurePolicy ??= 'Fail';
    defaultMatch(policy.spec.matchConstraints);
  },
  check(e, policy) {
    const { spec = {} } = given(policy);
    if ((spec.validations ?? []).length + (spec.auditAnnotations ?? []).length === 0) {
      e.required(
        'spec.validations',
        'validations or auditAnnotations must contain at least one item',
      );
      e.required(
        'spec.auditAnnotations',
        'validations or auditAnnotations must contain at least one item',
      );
    }
    if (spec.matchConstraints === undefined) e.required('spec.matchConstraints');
    else if ((spec.matchConstraints.resourceRules ?? []).length === 0) {
      e.required('spec.matchConstraints.resourceRules');
    }
  },
  bumpsGeneration: (policy, old) => !sameValue(policy.spec, old.spec),
  table: tableOf('Name,Validations:integer,ParamKind,Age', ({ metadata, spec }, nowMs) => [
    metadata.name,
    (spec?.validations ?? []).length,
    kindCell(spec?.paramKind),
    age(metadata.creationTimestamp, nowMs),
  ]),
});

export const validatingPolicyRules: typeof validatingPolicy = {
  ...validatingPolicy,
  subresources: {
    status: {
      ...validatingPolicy.subresources?.['status'],
      prepareForUpdate(policy, old) {
        policy.spec = old.spec;
        resetMetaForStatus(policy.metadata, old.metadata);
      },
    },
  },
};

export const validatingBindingRules = plainRules<ValidatingAdmissionPolicyBinding>({
  ...GROUP,
  resource: 'validatingadmissionpolicybindings',
  default: ({ spec }) => defaultMatch(spec?.matchResources),
  check(e, { spec }) {
    const actions = spec?.validationActions ?? [];
    if (actions.length === 0) {
      e.required('spec.validationActions', 'at least one validation action is required');
    }
    if (actions.includes('Deny') && actions.includes('Warn')) {
      const detail =
        'must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)';
      e.invalid('spec.validationActions', actions, detail);
    }
  },
  bumpsGeneration: (binding, old) => !sameValue(binding.spec, old.spec),
  table: tableOf('Name,PolicyName,ParamRef,Age', ({ metadata, spec }, nowMs) => [
    metadata.name,
    spec?.policyName ?? '',
    paramCell(spec?.paramRef),
    age(metadata.creationTimestamp, nowMs),
  ]),
});

export const mutatingPolicyRules = plainRules<MutatingAdmissionPolicy>({
  ...GROUP,
  resource: 'mutatingadmissionpolicies',
  default(policy) {
    policy.spec ??= {};
    policy.spec.failurePolicy ??= 'Fail';
    defaultMatch(policy.spec.matchConstraints);
  },
  check(e, { spec }) {
    if ((given(spec).mutations ?? []).length === 0) {
      e.required('spec.mutations', 'mutations must contain at least one item');
    }
    if (given(spec).matchConstraints === undefined) e.required('spec.matchConstraints');
  },
  bumpsGeneration: (policy, old) => !sameValue(policy.spec, old.spec),
  table: tableOf('Name,Mutations:integer,ParamKind,Age', ({ metadata, spec }, nowMs) => [
    metadata.name,
    (spec.mutations ?? []).length,
    kindCell(spec.paramKind),
    age(metadata.creationTimestamp, nowMs),
  ]),
});

export const mutatingBindingRules = plainRules<MutatingAdmissionPolicyBinding>({
  ...GROUP,
  resource: 'mutatingadmissionpolicybindings',
  default: ({ spec }) => defaultMatch(spec?.matchResources),
  bumpsGeneration: (binding, old) => !sameValue(binding.spec, old.spec),
  table: tableOf('Name,PolicyName,ParamRef,Age', ({ metadata, spec }, nowMs) => [
    metadata.name,
    spec.policyName ?? '',
    paramCell(spec.paramRef),
    age(metadata.creationTimestamp, nowMs),
  ]),
});
