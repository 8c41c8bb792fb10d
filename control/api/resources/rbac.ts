/**
 * Rules of rbac.authorization.k8s.io/v1: roles, cluster roles and their bindings. Who may grant what is
 * decided elsewhere.
 * Source: kubernetes v1.36.3 pkg/apis/rbac.
 */
import type {
  ClusterRole,
  ClusterRoleBinding,
  PolicyRule,
  Role,
  RoleBinding,
  RoleRef,
  Subject,
} from '#base/kube/api/rbac-v1.gen.ts';
import type { ResourceRules } from '../resource.ts';
import { type FieldErrors, goJson, RenderedValue } from './field-errors.ts';
import { checkPathSegment } from './formats.ts';
import { given } from './given.ts';
import {
  pathName,
  subdomainName,
  validateLabelSelector,
  validateMeta,
  validateMetaUpdate,
} from './meta.ts';
import { sameValue } from './same-value.ts';
import { collect, collectUpdate } from './strategies.ts';
import { age, tableOf } from './tables.ts';
import { selectorMatches } from './workloads.ts';

const GROUP = 'rbac.authorization.k8s.io';
const NAMESPACED = { namespaced: true, name: pathName, coreFinalizers: true };
const CLUSTER = { namespaced: false, name: pathName, coreFinalizers: true };

function validateRules(
  e: FieldErrors,
  rules: readonly PolicyRule[],
  options: { readonly namespaced: boolean },
): void {
  for (const [i, rule] of rules.entries()) {
    const at = `rules[${i}]`;
    const { verbs = [], apiGroups = [], resources = [], resourceNames = [] } = given(rule);
    const urls = rule.nonResourceURLs ?? [];
    if (verbs.length === 0) e.required(`${at}.verbs`, 'verbs must contain at least one value');
    if (urls.length > 0) {
      const field = `${at}.nonResourceURLs`;
      if (options.namespaced) {
        e.invalid(field, urls, 'namespaced rules cannot apply to non-resource URLs');
      }
      if (apiGroups.length + resources.length + resourceNames.length > 0) {
        const detail = 'rules cannot apply to both regular resources and non-resource URLs';
        e.invalid(field, urls, detail);
      }
      continue;
    }
    if (apiGroups.length === 0) {
      e.required(`${at}.apiGroups`, 'resource rules must supply at least one api group');
    }
    if (resources.length === 0) {
      e.required(`${at}.resources`, 'resource rules must supply at least one resource');
    }
  }
}

function validateRole(e: FieldErrors, role: Role): void {
  validateMeta(e, role.metadata, NAMESPACED);
  validateRules(e, role.rules ?? [], NAMESPACED);
}

function validateClusterRole(e: FieldErrors, role: ClusterRole): void {
  validateMeta(e, role.metadata, CLUSTER);
  validateRules(e, role.rules ?? [], CLUSTER);
  if (role.aggregationRule === undefined) return;
  const path = 'aggregationRule.clusterRoleSelectors';
  const selectors = role.aggregationRule.clusterRoleSelectors ?? [];
  if (selectors.length === 0) {
    e.required(path, 'at least one clusterRoleSelector required if aggregationRule is non-nil');
  }
  for (const [i, selector] of selectors.entries()) {
    validateLabelSelector(e, `${path}[${i}]`, selector);
    if (selectorMatches(selector, {}) === undefined) {
      e.invalid(`${path}[${i}]`, null, 'invalid label selector.');
    }
  }
}

type Binding = RoleBinding | ClusterRoleBinding;

function validateBinding(e: FieldErrors, binding: Binding, rules: typeof NAMESPACED): void {
  validateMeta(e, binding.metadata, rules);
  const { apiGroup = '', kind = '', name = '' } = given(binding.roleRef ?? {}) as Partial<RoleRef>; // May lack all.
  const kinds = rules.namespaced ? ['Role', 'ClusterRole'] : ['ClusterRole'];
  if (apiGroup !== GROUP) e.notSupported('roleRef.apiGroup', apiGroup, [GROUP]);
  if (!kinds.includes(kind)) e.notSupported('roleRef.kind', kind, kinds);
  if (name === '') e.required('roleRef.name');
  else e.invalidEach('roleRef.name', name, checkPathSegment(name));
  for (const [i, subject] of (binding.subjects ?? []).entries()) {
    validateSubject(e, `subjects[${i}]`, subject, rules);
  }
}

function validateSubject(
  e: FieldErrors,
  at: string,
  subject: Subject,
  options: { readonly namespaced: boolean },
): void {
  const { kind = '', name = '', apiGroup = '', namespace = '' } = given(subject);
  if (name === '') e.required(`${at}.name`);
  if (kind === 'ServiceAccount') {
    if (name !== '') e.invalidEach(`${at}.name`, name, subdomainName(name));
    if (apiGroup !== '') e.notSupported(`${at}.apiGroup`, apiGroup, ['']);
    if (!options.namespaced && namespace === '') e.required(`${at}.namespace`);
  } else if (kind === 'User' || kind === 'Group') {
    if (apiGroup !== GROUP) e.notSupported(`${at}.apiGroup`, apiGroup, [GROUP]);
  } else e.notSupported(`${at}.kind`, kind, ['ServiceAccount', 'User', 'Group']);
}

function validateBindingUpdate(
  e: FieldErrors,
  binding: Binding,
  old: Binding,
  rules: typeof NAMESPACED,
): void {
  validateBinding(e, binding, rules);
  validateMetaUpdate(e, binding.metadata, old.metadata, rules);
  if (sameValue(binding.roleRef, old.roleRef)) return;
  const { apiGroup, kind, name } = binding.roleRef;
  const shown = new RenderedValue(goJson({ APIGroup: apiGroup, Kind: kind, Name: name }));
  e.invalid('roleRef', shown, 'cannot change roleRef');
}

function defaultBinding(binding: Binding): void {
  binding.roleRef ??= { apiGroup: '', kind: '', name: '' };
  binding.roleRef.apiGroup ||= GROUP;
  for (const subject of binding.subjects ?? []) {
    if (subject.kind === 'User' || subject.kind === 'Group') subject.apiGroup ||= GROUP;
  }
}

function bindingCells(binding: Binding, nowMs: number): readonly unknown[] {
  const subjects = binding.subjects ?? [];
  const names = (kind: string): string =>
    subjects
      .filter((subject) => subject.kind === kind)
      .map(({ namespace, name }) =>
        kind === 'ServiceAccount' ? `${namespace ?? ''}/${name}` : name,
      )
      .join(', ');
  return [
    binding.metadata.name,
    `${binding.roleRef.kind}/${binding.roleRef.name}`,
    age(binding.metadata.creationTimestamp, nowMs),
    names('User'),
    names('Group'),
    names('ServiceAccount'),
  ];
}

const BINDING_COLUMNS = 'Name,Role,Age|Users,Groups,ServiceAccounts';
const ROLE_COLUMNS = 'Name,Created At:date';
const FLAGS = { group: GROUP, version: 'v1', allowCreateOnUpdate: true } as const;

export const roleRules: ResourceRules<Role> = {
  ...FLAGS,
  resource: 'roles',
  validate: (role) => collect((e) => validateRole(e, role)),
  validateUpdate: (role, old) =>
    collectUpdate(role, old, NAMESPACED, (e) => {
      validateRole(e, role);
      validateMetaUpdate(e, role.metadata, old.metadata, NAMESPACED);
    }),
  table: tableOf(ROLE_COLUMNS, ({ metadata }) => [metadata.name, metadata.creationTimestamp]),
};

export const clusterRoleRules: ResourceRules<ClusterRole> = {
  ...FLAGS,
  resource: 'clusterroles',
  validate: (role) => collect((e) => validateClusterRole(e, role)),
  validateUpdate: (role, old) =>
    collectUpdate(role, old, CLUSTER, (e) => {
      validateClusterRole(e, role);
      validateMetaUpdate(e, role.metadata, old.metadata, CLUSTER);
    }),
  table: tableOf(ROLE_COLUMNS, ({ metadata }) => [metadata.name, metadata.creationTimestamp]),
};

export const roleBindingRules: ResourceRules<RoleBinding> = {
  ...FLAGS,
  resource: 'rolebindings',
  default: defaultBinding,
  validate: (binding) => collect((e) => validateBinding(e, binding, NAMESPACED)),
  validateUpdate: (binding, old) =>
    collectUpdate(binding, old, NAMESPACED, (e) =>
      validateBindingUpdate(e, binding, old, NAMESPACED),
    ),
  table: tableOf(BINDING_COLUMNS, bindingCells),
};

export const clusterRoleBindingRules: ResourceRules<ClusterRoleBinding> = {
  ...FLAGS,
  resource: 'clusterrolebindings',
  default: defaultBinding,
  validate: (binding) => collect((e) => validateBinding(e, binding, CLUSTER)),
  validateUpdate: (binding, old) =>
    collectUpdate(binding, old, CLUSTER, (e) => validateBindingUpdate(e, binding, old, CLUSTER)),
  table: tableOf(BINDING_COLUMNS, bindingCells),
};
