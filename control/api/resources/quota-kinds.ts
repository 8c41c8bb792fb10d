/** Rules of v1 LimitRanges and ResourceQuotas. Source: kubernetes v1.36.3 pkg/apis/core. */
import type { LimitRange, LimitRangeItem, ResourceQuota } from '#base/kube/api/core-v1.gen.ts';
import { compareQuantities, parseQuantity } from '#base/kube/quantity.ts';
import { type FieldErrors, sortedMap } from './field-errors.ts';
import { given } from './given.ts';
import { IMMUTABLE } from './meta.ts';
import { quantityText } from './persistent-volume-claim.ts';
import { plainRules } from './plain-kinds.ts';
import { roundUpResources, validateResourceValue } from './resource-lists.ts';
import { sameValue } from './same-value.ts';
import { age, createdTable, tableOf } from './tables.ts';

const LIST_FIELDS = ['max', 'min', 'default', 'defaultRequest', 'maxLimitRequestRatio'] as const;

/** What may not exceed what, the field that is blamed and the value that is shown. */
const ORDER = [
  ['min', 'max', 'min', 'min'],
  ['min', 'default request', 'defaultRequest', 'default request'],
  ['default request', 'max', 'defaultRequest', 'default request'],
  ['default request', 'default limit', 'defaultRequest', 'default request'],
  ['min', 'default', 'default', 'min'],
  ['default', 'max', 'default', 'default'],
] as const;

function defaultLimits(item: LimitRangeItem): void {
  for (const field of LIST_FIELDS) roundUpResources(item[field]);
  if (item.type !== 'Container') return;
  item.default = { ...item.max, ...item.default };
  item.defaultRequest = { ...item.min, ...item.default, ...item.defaultRequest };
}

const exceeds = (a: string | undefined, b: string | undefined): boolean =>
  a !== undefined && b !== undefined && compareQuantities(parseQuantity(a), parseQuantity(b)) > 0;

function validateItem(e: FieldErrors, at: string, item: LimitRangeItem): void {
  const names = new Set(LIST_FIELDS.flatMap((field) => Object.keys(item[field] ?? {})));
  if (given(item).type === 'Pod') {
    for (const field of ['default', 'defaultRequest'] as const) {
      if (Object.keys(item[field] ?? {}).length === 0) continue;
      e.forbidden(`${at}.${field}`, "may not be specified when `type` is 'Pod'");
    }
  }
  if (item.type === 'PersistentVolumeClaim') {
    const hasBound = item.min?.['storage'] !== undefined || item.max?.['storage'] !== undefined;
    if (!hasBound)
      e.required(
        `${at}.limits`,
        'either minimum or maximum storage value is required, but neither was provided',
      );
  }
  for (const name of [...names].sort()) validateOrder(e, at, item, name);
}

/** Minimum, default request, default limit and maximum of one resource come in this order. */
function validateOrder(e: FieldErrors, at: string, item: LimitRangeItem, name: string): void {
  const bounds = {
    min: item.min?.[name],
    max: item.max?.[name],
    default: item.default?.[name],
    'default limit': item.default?.[name],
    'default request': item.defaultRequest?.[name],
  };
  for (const [low, high, path, shown] of ORDER) {
    if (!exceeds(bounds[low], bounds[high])) continue;
    const detail = `${low} value ${quantityText(bounds[low])} is greater than ${high} value ${quantityText(bounds[high])}`;
    e.invalid(`${at}.${path}[${name}]`, quantityText(bounds[shown]), detail);
  }
}

export const limitRangeRules = plainRules<LimitRange>({
  group: '',
  version: 'v1',
  resource: 'limitranges',
  allowCreateOnUpdate: true,
  default({ spec }) {
    for (const item of spec?.limits ?? []) defaultLimits(item);
  },
  check(e, { spec }) {
    const types = new Set<string>();
    for (const [i, item] of (spec?.limits ?? []).entries()) {
      if (types.has(item.type)) e.duplicate(`spec.limits[${i}].type`, item.type);
      types.add(item.type);
      validateItem(e, `spec.limits[${i}]`, item);
    }
  },
  table: createdTable,
});

/** `limits.*` go to the second column. */
function quotaCells({ status }: ResourceQuota): [string, string] {
  const texts: [string[], string[]] = [[], []];
  for (const name of Object.keys(status?.hard ?? {}).sort()) {
    const used = quantityText(status?.used?.[name]);
    const text = `${name}: ${used}/${quantityText(status?.hard?.[name])}`;
    texts[name.startsWith('limits.') ? 1 : 0].push(text);
  }
  return [texts[0].join(', '), texts[1].join(', ')];
}

export const resourceQuotaRules = plainRules<ResourceQuota>({
  group: '',
  version: 'v1',
  resource: 'resourcequotas',
  returnsDeletedObject: true,
  default({ spec, status }) {
    roundUpResources(spec?.hard);
    roundUpResources(status?.hard);
    roundUpResources(status?.used);
  },
  check(e, { spec }, old) {
    for (const [name, quantity] of Object.entries(sortedMap(spec?.hard))) {
      validateResourceValue(e, `spec.hard[${name}]`, { name, quantity });
    }
    if (old === undefined) return;
    const scopes = new Set(spec?.scopes ?? []);
    const before = new Set(old.spec?.scopes ?? []);
    if (!sameValue([...scopes].sort(), [...before].sort())) {
      e.invalid('spec.scopes', spec?.scopes ?? null, IMMUTABLE);
    }
  },
  table: tableOf('Name,Request,Limit,Age', (quota, nowMs) => [
    quota.metadata.name,
    ...quotaCells(quota),
    age(quota.metadata.creationTimestamp, nowMs),
  ]),
});
