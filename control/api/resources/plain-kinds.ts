/**
 * Rules of kinds that differ from each other in little: metadata, what the schema says, a few checks,
 * a status that only its own endpoint changes.
 */
import type { KubeObject } from '#base/kube/client.ts';
import { resources } from '#control/schema/schema.ts';
import type { ResourceRules } from '../resource.ts';
import { FieldErrors } from './field-errors.ts';
import { type NameRule, subdomainName, validateMeta, validateMetaUpdate } from './meta.ts';
import { type KindName, validateBySchema } from './schema-checks.ts';
import { collect, collectUpdate } from './strategies.ts';

export interface PlainKind<T extends KubeObject> extends Partial<ResourceRules<T>> {
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  /** Absent: DNS subdomains. */
  readonly name?: NameRule;
  /** Rules of the kind's own, after metadata and schema; without `old` on create. */
  readonly check?: (e: FieldErrors, object: T, old: T | undefined) => void;
  /** Rules of the status endpoint besides those on metadata. */
  readonly checkStatus?: (e: FieldErrors, object: T, old: T) => void;
  /** Of a new object. Absent: empty. */
  readonly firstStatus?: object;
}

function keep(object: KubeObject, old: KubeObject, field: 'spec' | 'status'): void {
  const value: unknown = Reflect.get(old, field);
  if (value === undefined) Reflect.deleteProperty(object, field);
  else Reflect.set(object, field, value);
}

/** What the kind's own rules have said about a field is not said twice. */
function addSchemaErrors(e: FieldErrors, kind: KindName, object: object): void {
  const found = new FieldErrors();
  validateBySchema(found, kind, object);
  const reported = new Set(e.list.map(({ field }) => field));
  e.list.push(...found.list.filter(({ field }) => !reported.has(field)));
}

export function plainRules<T extends KubeObject>(kind: PlainKind<T>): ResourceRules<T> {
  const { check, checkStatus: _check, name, firstStatus: _first, ...own } = kind;
  const facts = resources.find(
    (r) => r.group === kind.group && r.version === kind.version && r.resource === kind.resource,
  );
  if (facts === undefined) throw new Error(`no resource ${kind.group}/${kind.resource}`);
  const meta = { namespaced: facts.namespaced, name: name ?? subdomainName };
  const hasStatus = facts.subresources.some((part) => part.name === 'status');
  return {
    ...(hasStatus ? statusRules(kind, meta) : {}),
    validate: (object) =>
      collect((e) => {
        validateMeta(e, object.metadata, meta);
        check?.(e, object, undefined);
        addSchemaErrors(e, facts, object);
      }),
    validateUpdate: (object, old) =>
      collectUpdate(object, old, meta, (e) => {
        validateMetaUpdate(e, object.metadata, old.metadata, {});
        check?.(e, object, old);
        addSchemaErrors(e, facts, object);
      }),
    ...own,
  };
}

function statusRules<T extends KubeObject>(
  { firstStatus, checkStatus }: PlainKind<T>,
  meta: { readonly namespaced: boolean; readonly name: NameRule },
): Partial<ResourceRules<T>> {
  return {
    prepareForCreate(object) {
      Reflect.set(object, 'status', { ...firstStatus });
    },
    prepareForUpdate: (object, old) => keep(object, old, 'status'),
    subresources: {
      status: {
        prepareForUpdate: (object, old) => keep(object, old, 'spec'),
        validateUpdate: (object, old) =>
          collectUpdate(object, old, meta, (e) => {
            validateMetaUpdate(e, object.metadata, old.metadata, {});
            checkStatus?.(e, object, old);
          }),
      },
    },
  };
}
