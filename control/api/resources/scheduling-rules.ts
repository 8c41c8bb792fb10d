/**
 * Rules on where a pod may be placed: node selectors, affinity, tolerations, taint effects, topology
 * spread. Also used for the node affinity of volumes and the taints of nodes.
 * Source: kubernetes v1.36.3 pkg/apis/core/validation.
 */
import type {
  Affinity,
  NodeSelector,
  NodeSelectorRequirement,
  NodeSelectorTerm,
  PodAffinity,
  PodAffinityTerm,
  Toleration,
  TopologySpreadConstraint,
} from '#base/kube/api/core-v1.gen.ts';
import type { LabelSelector } from '#base/kube/api/meta-v1.gen.ts';
import type { FieldErrors } from './field-errors.ts';
import { checkDnsLabel, checkDnsSubdomain, checkLabelValue } from './formats.ts';
import { given } from './given.ts';
import { validateLabelKey, validateLabelSelector } from './meta.ts';

const TAINT_EFFECTS = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'];
const NOT_AN_OPERATOR = 'not a valid selector operator';
const WEIGHT_RANGE = 'must be in the range 1-100';
const BOTH_KEYS = 'exists in both matchLabelKeys and labelSelector';

function validateRequirement(
  e: FieldErrors,
  at: string,
  requirement: NodeSelectorRequirement,
  options: { readonly anyValue: boolean },
): void {
  const { operator = '', values = [] } = given(requirement);
  switch (operator) {
    case 'In':
    case 'NotIn':
      if (values.length > 0) break;
      e.required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'");
      break;
    case 'Exists':
    case 'DoesNotExist': {
      if (values.length === 0) break;
      const detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
      e.forbidden(`${at}.values`, detail);
      break;
    }
    case 'Gt':
    case 'Lt':
      if (values.length === 1) break;
      e.required(`${at}.values`, "must be specified single value when `operator` is 'Lt' or 'Gt'");
      break;
    default:
      e.invalid(`${at}.operator`, operator, NOT_AN_OPERATOR);
  }
  validateLabelKey(e, `${at}.key`, requirement.key ?? '');
  if (options.anyValue) return;
  for (const [i, value] of values.entries()) {
    e.invalidEach(`${at}.values[${i}]`, value, checkLabelValue(value));
  }
}

function validateFieldRequirement(
  e: FieldErrors,
  at: string,
  requirement: NodeSelectorRequirement,
): void {
  const { operator = '', values = [], key = '' } = given(requirement);
  if (operator === 'In' || operator === 'NotIn') {
    if (values.length !== 1) {
      const detail =
        "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
      e.required(`${at}.values`, detail);
    }
  } else e.invalid(`${at}.operator`, operator, NOT_AN_OPERATOR);
  if (key !== 'metadata.name') return e.invalid(`${at}.key`, key, 'not a valid field selector key');
  for (const [i, value] of values.entries()) {
    e.invalidEach(`${at}.values[${i}]`, value, checkDnsSubdomain(value));
  }
}

function validateTerm(
  e: FieldErrors,
  at: string,
  term: NodeSelectorTerm,
  options: { readonly anyValue: boolean },
): void {
  for (const [i, requirement] of (term.matchExpressions ?? []).entries()) {
    validateRequirement(e, `${at}.matchExpressions[${i}]`, requirement, options);
  }
  for (const [i, requirement] of (term.matchFields ?? []).entries()) {
    validateFieldRequirement(e, `${at}.matchFields[${i}]`, requirement);
  }
}

export function validateNodeSelector(e: FieldErrors, at: string, selector: NodeSelector): void {
  const terms = selector.nodeSelectorTerms ?? [];
  const path = `${at}.nodeSelectorTerms`;
  if (terms.length === 0) return e.required(path, 'must have at least one node selector term');
  for (const [i, term] of terms.entries()) {
    validateTerm(e, `${path}[${i}]`, term, { anyValue: false });
  }
}

const REQUIRED = 'requiredDuringSchedulingIgnoredDuringExecution';
const PREFERRED = 'preferredDuringSchedulingIgnoredDuringExecution';

export function validateAffinity(e: FieldErrors, at: string, affinity: Affinity | undefined): void {
  const node = affinity?.nodeAffinity;
  if (node?.[REQUIRED] !== undefined) {
    validateNodeSelector(e, `${at}.nodeAffinity.${REQUIRED}`, node[REQUIRED]);
  }
  for (const [i, term] of (node?.[PREFERRED] ?? []).entries()) {
    const path = `${at}.nodeAffinity.${PREFERRED}[${i}]`;
    if (term.weight <= 0 || term.weight > 100)
      e.invalid(`${path}.weight`, term.weight, WEIGHT_RANGE);
    validateTerm(e, `${path}.preference`, term.preference ?? {}, { anyValue: true });
  }
  validatePodAffinity(e, `${at}.podAffinity`, affinity?.podAffinity);
  validatePodAffinity(e, `${at}.podAntiAffinity`, affinity?.podAntiAffinity);
}

function validatePodAffinity(e: FieldErrors, at: string, affinity: PodAffinity | undefined): void {
  for (const [i, term] of (affinity?.[REQUIRED] ?? []).entries()) {
    validateAffinityTerm(e, `${at}.${REQUIRED}[${i}]`, term);
  }
  for (const [i, term] of (affinity?.[PREFERRED] ?? []).entries()) {
    const path = `${at}.${PREFERRED}[${i}]`;
    if (term.weight <= 0 || term.weight > 100)
      e.invalid(`${path}.weight`, term.weight, WEIGHT_RANGE);
    validateAffinityTerm(e, `${path}.podAffinityTerm`, term.podAffinityTerm ?? {});
  }
}

function validateAffinityTerm(e: FieldErrors, at: string, term: PodAffinityTerm): void {
  validateLabelSelector(e, `${at}.labelSelector`, term.labelSelector);
  validateLabelSelector(e, `${at}.namespaceSelector`, term.namespaceSelector);
  for (const namespace of term.namespaces ?? []) {
    e.invalidEach(`${at}.namespace`, namespace, checkDnsLabel(namespace));
  }
  validateMatchLabelKeys(e, at, {
    match: term.matchLabelKeys ?? [],
    mismatch: term.mismatchLabelKeys ?? [],
    selector: term.labelSelector,
  });
  const key = term.topologyKey ?? '';
  if (key === '') e.required(`${at}.topologyKey`, 'can not be empty');
  validateLabelKey(e, `${at}.topologyKey`, key);
}

function validateMatchLabelKeys(
  e: FieldErrors,
  at: string,
  keys: {
    readonly match: readonly string[];
    readonly mismatch: readonly string[];
    readonly selector: LabelSelector | undefined;
  },
): void {
  const { match, mismatch, selector } = keys;
  validateLabelKeys(e, `${at}.matchLabelKeys`, match, selector);
  validateLabelKeys(e, `${at}.mismatchLabelKeys`, mismatch, selector);
  // The server itself turned each key into an expression, so only a second mention is a clash.
  const seen = new Set(Object.keys(selector?.matchLabels ?? {}));
  for (const { key } of selector?.matchExpressions ?? []) {
    const index = match.lastIndexOf(key);
    if (index >= 0 && seen.has(key)) e.invalid(`${at}[${index}]`, key, BOTH_KEYS);
    seen.add(key);
  }
  for (const [i, key] of match.entries()) {
    if (mismatch.includes(key)) {
      const detail = 'exists in both matchLabelKeys and mismatchLabelKeys';
      e.invalid(`${at}.matchLabelKeys[${i}]`, key, detail);
    }
  }
}

function validateLabelKeys(
  e: FieldErrors,
  path: string,
  keys: readonly string[],
  selector: LabelSelector | undefined,
): void {
  if (keys.length === 0) return;
  if (selector === undefined) {
    return e.forbidden(path, 'must not be specified when labelSelector is not set');
  }
  for (const [i, key] of keys.entries()) validateLabelKey(e, `${path}[${i}]`, key);
}

export function validateTaintEffect(e: FieldErrors, field: string, effect: string): void {
  if (!TAINT_EFFECTS.includes(effect)) e.notSupported(field, effect, TAINT_EFFECTS);
}

export function validateTolerations(
  e: FieldErrors,
  path: string,
  tolerations: readonly Toleration[],
): void {
  for (const [i, toleration] of tolerations.entries()) {
    const at = `${path}[${i}]`;
    const { key = '', operator = '', value = '', effect = '' } = toleration;
    if (key !== '') validateLabelKey(e, `${at}.key`, key);
    if (key === '' && operator !== 'Exists') {
      e.invalid(
        `${at}.operator`,
        operator,
        'operator must be Exists when `key` is empty, which means "match all values and all keys"',
      );
    }
    if (toleration.tolerationSeconds !== undefined && effect !== 'NoExecute') {
      const detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
      e.invalid(`${at}.effect`, effect, detail);
    }
    validateTolerationValue(e, `${at}.operator`, operator, value);
    if (effect !== '') validateTaintEffect(e, `${at}.effect`, effect);
  }
}

function validateTolerationValue(
  e: FieldErrors,
  field: string,
  operator: string,
  value: string,
): void {
  if (operator === 'Equal' || operator === '') {
    const messages = checkLabelValue(value);
    if (messages.length > 0) e.invalid(field, value, messages.join(';'));
  } else if (operator === 'Exists') {
    if (value !== '') e.invalid(field, value, "value must be empty when `operator` is 'Exists'");
  } else if (operator === 'Lt' || operator === 'Gt') {
    e.notSupported(field, operator, ['Equal', 'Exists', 'Lt', 'Gt']);
  } else e.notSupported(field, operator, ['Equal', 'Exists']);
}

export function validateTopologySpread(
  e: FieldErrors,
  path: string,
  constraints: readonly TopologySpreadConstraint[],
): void {
  for (const [i, constraint] of constraints.entries()) {
    const at = `${path}[${i}]`;
    const { maxSkew = 0, topologyKey = '', whenUnsatisfiable = '', minDomains } = given(constraint);
    if (maxSkew <= 0) e.invalid(`${at}.maxSkew`, maxSkew, 'must be greater than zero');
    if (topologyKey === '') e.required(`${at}.topologyKey`, 'can not be empty');
    const actions = ['DoNotSchedule', 'ScheduleAnyway'];
    if (!actions.includes(whenUnsatisfiable)) {
      e.notSupported(`${at}.whenUnsatisfiable`, whenUnsatisfiable, actions);
    }
    const isRepeated = constraints
      .slice(i + 1)
      .some((c) => c.topologyKey === topologyKey && c.whenUnsatisfiable === whenUnsatisfiable);
    if (isRepeated) {
      const pair = `{${topologyKey}, ${whenUnsatisfiable}}`;
      e.duplicate(`${at}.{topologyKey, whenUnsatisfiable}`, pair);
    }
    if (minDomains !== undefined) {
      if (minDomains <= 0) e.invalid(`${at}.minDomains`, minDomains, 'must be greater than zero');
      if (whenUnsatisfiable !== 'DoNotSchedule') {
        const detail = `can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ${whenUnsatisfiable}`;
        e.invalid(`${at}.minDomains`, minDomains, detail);
      }
    }
    for (const field of ['nodeAffinityPolicy', 'nodeTaintsPolicy'] as const) {
      const policy = constraint[field];
      if (policy !== undefined && policy !== 'Honor' && policy !== 'Ignore') {
        e.notSupported(`${at}.${field}`, policy, ['Honor', 'Ignore']);
      }
    }
    validateMatchLabelKeys(e, at, {
      match: constraint.matchLabelKeys ?? [],
      mismatch: [],
      selector: constraint.labelSelector,
    });
    validateLabelSelector(e, `${at}.labelSelector`, constraint.labelSelector);
  }
}
