/**
 * Rules on the spec of a Job, also where a CronJob holds one as template.
 * Source: kubernetes v1.36.3 pkg/apis/batch/validation.
 */
import type {
  JobSpec,
  PodFailurePolicyOnExitCodesRequirement,
  PodFailurePolicyRule,
  SuccessPolicyRule,
} from '#base/kube/api/batch-v1.gen.ts';
import { type FieldErrors, RenderedValue } from './field-errors.ts';
import { byteLength, checkDnsSubdomain, checkQualifiedName } from './formats.ts';
import { given } from './given.ts';
import { renderedInternal } from './internal-form.ts';
import { parseIndexes } from './job-indexes.ts';
import { validateNotNegative } from './meta.ts';
import { validatePodTemplateSpec } from './pod-spec.ts';

const INDEXED_MAX = 100_000;
const PARALLEL_MAX_OF_MANY = 10_000;
const RULES_MAX = 20;
const EXIT_CODES_MAX = 255;
const INDEXES_BYTES_MAX = 64 * 1024;
const MANAGED_BY_MAX = 63;
const INDEXED_ONLY = 'requires indexed completion mode';
const HTTP_PATH = "[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+";

const quoted = (values: readonly string[]): string =>
  `valid values: [${values.map((value) => `"${value}"`).join(' ')}]`;

export function validateJobSpecBody(e: FieldErrors, path: string, spec: JobSpec): void {
  for (const field of [
    'parallelism',
    'completions',
    'activeDeadlineSeconds',
    'backoffLimit',
    'ttlSecondsAfterFinished',
    'backoffLimitPerIndex',
    'maxFailedIndexes',
  ] as const) {
    validateNotNegative(e, `${path}.${field}`, spec[field] ?? 0);
  }
  if (spec.maxFailedIndexes !== undefined && spec.backoffLimitPerIndex === undefined) {
    e.required(`${path}.backoffLimitPerIndex`, 'when maxFailedIndexes is specified');
  }
  if (spec.managedBy !== undefined) validateManagedBy(e, `${path}.managedBy`, spec.managedBy);
  validateCompletionMode(e, path, spec);
  if (spec.podFailurePolicy !== undefined) {
    validateFailurePolicy(e, `${path}.podFailurePolicy.rules`, spec);
  }
  if (spec.successPolicy !== undefined) validateSuccessPolicy(e, `${path}.successPolicy`, spec);
  validateReplacementPolicy(e, `${path}.podReplacementPolicy`, spec);
  validatePodTemplateSpec(e, `${path}.template`, spec.template);
  validateRestartPolicy(e, `${path}.template.spec.restartPolicy`, spec);
}

function validateManagedBy(e: FieldErrors, field: string, manager: string): void {
  const [host = '', ...rest] = manager.split('/');
  const path = rest.join('/');
  if (manager === '') e.required(field);
  else if (host === '' || path === '') {
    e.invalid(field, manager, 'must be a domain-prefixed path (such as "acme.io/foo")');
  } else {
    e.invalidEach(field, host, checkDnsSubdomain(host));
    if (!new RegExp(`^${HTTP_PATH}$`).test(path)) {
      e.invalid(field, path, `Invalid path (regex used for validation is '${HTTP_PATH}')`);
    }
  }
  if (byteLength(manager) > MANAGED_BY_MAX) e.tooLong(field, MANAGED_BY_MAX);
}

function validateCompletionMode(e: FieldErrors, path: string, spec: JobSpec): void {
  const mode = spec.completionMode ?? 'NonIndexed';
  if (mode === 'Indexed') return validateIndexed(e, path, spec);
  if (mode !== 'NonIndexed') {
    return e.notSupported(`${path}.completionMode`, mode, ['NonIndexed', 'Indexed']);
  }
  for (const field of ['backoffLimitPerIndex', 'maxFailedIndexes'] as const) {
    const value = spec[field];
    if (value !== undefined) e.invalid(`${path}.${field}`, value, INDEXED_ONLY);
  }
}

function validateIndexed(e: FieldErrors, path: string, spec: JobSpec): void {
  const { completions, parallelism, maxFailedIndexes: failures } = spec;
  const field = `${path}.maxFailedIndexes`;
  if (completions === undefined) {
    e.required(`${path}.completions`, 'when completion mode is Indexed');
  }
  if (parallelism !== undefined && parallelism > INDEXED_MAX) {
    const detail = `must be less than or equal to ${INDEXED_MAX} when completion mode is Indexed`;
    e.invalid(`${path}.parallelism`, parallelism, detail);
  }
  if (completions !== undefined && failures !== undefined && failures > completions) {
    e.invalid(field, failures, 'must be less than or equal to completions');
  }
  if (failures !== undefined && failures > INDEXED_MAX) {
    e.invalid(field, failures, `must be less than or equal to ${INDEXED_MAX}`);
  }
  if ((completions ?? 0) <= INDEXED_MAX || spec.backoffLimitPerIndex === undefined) return;
  const most = `must be less than or equal to ${PARALLEL_MAX_OF_MANY} when completions are above ${INDEXED_MAX} and used with backoff limit per index`;
  if (failures === undefined) {
    e.required(field, `must be specified when completions is above ${INDEXED_MAX}`);
  }
  if (parallelism !== undefined && parallelism > PARALLEL_MAX_OF_MANY) {
    e.invalid(`${path}.parallelism`, parallelism, most);
  }
  if (failures !== undefined && failures > PARALLEL_MAX_OF_MANY) e.invalid(field, failures, most);
}

const ACTIONS = ['Count', 'FailIndex', 'FailJob', 'Ignore'];
const STATUSES = ['False', 'True', 'Unknown'];
const OPERATORS = ['In', 'NotIn'];

function validateFailurePolicy(e: FieldErrors, path: string, spec: JobSpec): void {
  const rules = spec.podFailurePolicy?.rules ?? [];
  if (rules.length > RULES_MAX) e.tooMany(path, rules.length, RULES_MAX);
  const pod = spec.template?.spec;
  const names = new Set(
    [...(pod?.containers ?? []), ...(pod?.initContainers ?? [])].map(({ name }) => name),
  );
  for (const [i, rule] of rules.entries()) {
    const at = `${path}[${i}]`;
    const action = given(rule).action ?? '';
    if (action === '') e.required(`${at}.action`, quoted(ACTIONS));
    else if (action === 'FailIndex') {
      if (spec.backoffLimitPerIndex === undefined) {
        e.invalid(`${at}.action`, action, 'requires the backoffLimitPerIndex to be set');
      }
    } else if (!ACTIONS.includes(action)) e.notSupported(`${at}.action`, action, ACTIONS);
    validateFailureRule(e, at, rule, names);
  }
}

function validateFailureRule(
  e: FieldErrors,
  at: string,
  rule: PodFailurePolicyRule,
  names: ReadonlySet<string>,
): void {
  const patterns = rule.onPodConditions ?? [];
  if (rule.onExitCodes !== undefined) {
    validateExitCodes(e, `${at}.onExitCodes`, rule.onExitCodes, names);
  }
  if (patterns.length > RULES_MAX) e.tooMany(`${at}.onPodConditions`, patterns.length, RULES_MAX);
  for (const [i, pattern] of patterns.entries()) {
    const path = `${at}.onPodConditions[${i}]`;
    const { type = '', status = '' } = given(pattern);
    e.invalidEach(`${path}.type`, type, checkQualifiedName(type));
    if (status === '') e.required(`${path}.status`, quoted(STATUSES));
    else if (!STATUSES.includes(status)) e.notSupported(`${path}.status`, status, STATUSES);
  }
  const hasCodes = rule.onExitCodes !== undefined;
  if (hasCodes && patterns.length > 0) {
    e.invalidOmitted(at, 'specifying both OnExitCodes and OnPodConditions is not supported');
  }
  if (!hasCodes && patterns.length === 0) {
    e.invalidOmitted(at, 'specifying one of OnExitCodes and OnPodConditions is required');
  }
}

function validateExitCodes(
  e: FieldErrors,
  at: string,
  requirement: PodFailurePolicyOnExitCodesRequirement,
  names: ReadonlySet<string>,
): void {
  const { operator = '', containerName, values = [] } = given(requirement);
  if (operator === '') e.required(`${at}.operator`, quoted(OPERATORS));
  else if (!OPERATORS.includes(operator)) e.notSupported(`${at}.operator`, operator, OPERATORS);
  if (containerName !== undefined && !names.has(containerName)) {
    const detail = 'must be one of the container or initContainer names in the pod template';
    e.invalid(`${at}.containerName`, containerName, detail);
  }
  if (values.length === 0) {
    const shown = new RenderedValue(requirement.values === undefined ? 'null' : '[]');
    e.invalid(`${at}.values`, shown, 'at least one value is required');
  } else if (values.length > EXIT_CODES_MAX) {
    e.tooMany(`${at}.values`, values.length, EXIT_CODES_MAX);
  }
  const seen = new Set<number>();
  for (const [i, code] of values.entries()) {
    const field = `${at}.values[${i}]`;
    if (operator === 'In' && code === 0)
      e.invalid(field, code, 'must not be 0 for the In operator');
    if (seen.has(code)) e.duplicate(field, code);
    seen.add(code);
  }
  const isOrdered = values.every((code, i) => i === 0 || (values[i - 1] ?? code) <= code);
  if (!isOrdered) e.invalid(`${at}.values`, values, 'must be ordered');
}

function validateSuccessPolicy(e: FieldErrors, path: string, spec: JobSpec): void {
  if (spec.completionMode !== 'Indexed') {
    const shown = renderedInternal('SuccessPolicy', spec.successPolicy);
    return e.invalid(path, shown, INDEXED_ONLY);
  }
  const rules = spec.successPolicy?.rules ?? [];
  if (rules.length === 0) {
    const detail = 'at least one rules must be specified when the successPolicy is specified';
    e.required(`${path}.rules`, detail);
  }
  if (rules.length > RULES_MAX) e.tooMany(`${path}.rules`, rules.length, RULES_MAX);
  for (const [i, rule] of rules.entries()) {
    validateSuccessRule(e, `${path}.rules[${i}]`, rule, spec.completions ?? 0);
  }
}

function validateSuccessRule(
  e: FieldErrors,
  at: string,
  rule: SuccessPolicyRule,
  completions: number,
): void {
  const { succeededCount: count, succeededIndexes: indexes } = rule;
  if (count === undefined && indexes === undefined) {
    e.required(at, 'at least one of succeededCount or succeededIndexes must be specified');
  }
  let total = 0;
  if (indexes !== undefined) {
    const field = `${at}.succeededIndexes`;
    if (byteLength(indexes) > INDEXES_BYTES_MAX) e.tooLong(field, INDEXES_BYTES_MAX);
    const set = parseIndexes(indexes, completions);
    if (set.kind === 'ok') total = set.count;
    else e.invalid(field, indexes, `error parsing succeededIndexes: ${set.problem}`);
  }
  if (count === undefined) return;
  const field = `${at}.succeededCount`;
  validateNotNegative(e, field, count);
  const most = (limit: number, what: string): string =>
    `must be less than or equal to ${limit} (the number of ${what})`;
  if (count > completions) e.invalid(field, count, most(completions, 'specified completions'));
  if (indexes !== undefined && count > total) {
    e.invalid(field, count, most(total, 'indexes in the specified succeededIndexes field'));
  }
}

function validateReplacementPolicy(e: FieldErrors, field: string, spec: JobSpec): void {
  const policy = spec.podReplacementPolicy;
  if (policy === undefined) return;
  const supported =
    spec.podFailurePolicy === undefined ? ['Failed', 'TerminatingOrFailed'] : ['Failed'];
  if (!supported.includes(policy)) e.notSupported(field, policy, supported);
}

function validateRestartPolicy(e: FieldErrors, field: string, spec: JobSpec): void {
  const policy = spec.template?.spec?.restartPolicy ?? '';
  if (policy === 'Always' || policy === '') {
    e.required(field, 'valid values: "OnFailure", "Never"');
  } else if (policy !== 'OnFailure' && policy !== 'Never') {
    e.notSupported(field, policy, ['OnFailure', 'Never']);
  } else if (spec.podFailurePolicy !== undefined && policy !== 'Never') {
    e.invalid(field, policy, 'only "Never" is supported when podFailurePolicy is specified');
  }
}
