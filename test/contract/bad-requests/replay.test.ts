/**
 * Replays the table of requests through the rules of control/api/resources and compares code, reason,
 * message and causes with upstream's recorded answers, and stored objects with upstream's.
 */
import { readFileSync } from 'node:fs';
import t from 'tap';
import type { KubeObject } from '#base/kube/client.ts';
import { invalid } from '#control/api/errors.ts';
import type { HookContext, ResourceRules, UpdateRules } from '#control/api/resource.ts';
import { eventConversion } from '#control/api/registry/convert-events.ts';
import { fieldErrorCauses } from '#control/api/resources/field-errors.ts';
import { resourceRules } from '#control/api/resources/resources.ts';
import { age, tableOf } from '#control/api/resources/tables.ts';
import { encodeJson, normalise, parseApiVersion, resources } from '#control/schema/schema.ts';
import {
  type Answer,
  type BoundCase,
  comparable,
  type Json,
  merge,
  readCases,
  type Recorded,
  UID,
} from './table.ts';

const only = process.env['ONLY'] ?? '';

const context: HookContext = {
  nowMs: 0,
  user: {
    name: 'admin',
    uid: 'admin',
    groups: ['system:masters', 'system:authenticated'],
    extra: {},
  },
  dryRun: false,
};

function recorded(folder: string): Record<string, Recorded> {
  const text = readFileSync(new URL(`${folder}.gen.json`, import.meta.url), 'utf8');
  return JSON.parse(text) as Record<string, Recorded>; // Written by record.ts.
}

interface Kind {
  readonly rules: ResourceRules;
  readonly kind: string;
  readonly group: string;
  readonly version: string;
  readonly namespaced: boolean;
}

function kindOf(object: Json): Kind {
  const { group, version } = parseApiVersion(String(object['apiVersion'])) ?? {
    group: '?',
    version: '',
  };
  const facts = resources.find(
    (r) => r.group === group && r.version === version && r.kind === object['kind'],
  );
  const rules = resourceRules.find(
    (r) => r.group === group && r.version === version && r.resource === facts?.resource,
  );
  if (rules === undefined || facts === undefined)
    throw new Error(`no rules for ${String(object['kind'])}`);
  return { rules, kind: facts.kind, group, version, namespaced: facts.namespaced };
}

function canonical(kind: Kind, object: unknown): KubeObject {
  const gvk = { group: kind.group, version: kind.version, kind: kind.kind };
  const decoded = normalise(gvk, structuredClone(object)).object as unknown as KubeObject; // Checked.
  const isNewEvent = kind.group === 'events.k8s.io';
  const form = isNewEvent ? eventConversion.toStorage(decoded) : decoded;
  kind.rules.default?.(form);
  return form;
}

function answer(kind: Kind, name: string, errors: Parameters<typeof fieldErrorCauses>[0]): Answer {
  if (errors.length === 0) return { code: 200 };
  // Upstream names the group of its internal type, and new events have that of the old ones.
  const group = kind.kind === 'Event' ? '' : kind.group;
  const { status } = invalid({ ...kind, group }, name, fieldErrorCauses(errors));
  return {
    code: status.code ?? 0,
    reason: status.reason,
    message: status.message,
    causes: status.details?.causes as unknown as Json[], // Plain objects.
  };
}

function create(entry: BoundCase): { answer: Answer; object: KubeObject; kind: Kind } {
  const kind = kindOf(entry.object);
  const object = canonical(kind, entry.object);
  if (kind.namespaced) object.metadata.namespace = 'default';
  object.metadata.uid = '00000000-0000-4000-8000-000000000000';
  const generated = object.metadata.generateName ?? '';
  if ((object.metadata.name ?? '') === '' && generated !== '')
    object.metadata.name = `${generated}xxxxx`;
  kind.rules.prepareForCreate?.(object, context);
  const errors = kind.rules.validate?.(object, context) ?? [];
  if (errors.length === 0) kind.rules.canonicalize?.(object);
  return { answer: answer(kind, object.metadata.name ?? '', errors), object, kind };
}

function update(entry: BoundCase, old: Json): { answer: Answer; object: KubeObject; kind: Kind } {
  const kind = kindOf(entry.object);
  const object = canonical(kind, merge(old, entry.update));
  const before = canonical(kind, old);
  object.metadata.generation = before.metadata.generation;
  const { subresource } = entry;
  const rules: UpdateRules | undefined =
    subresource === undefined ? kind.rules : kind.rules.subresources?.[subresource];
  rules?.prepareForUpdate?.(object, before, context);
  object.metadata.creationTimestamp = before.metadata.creationTimestamp;
  const errors = rules?.validateUpdate?.(object, before, context) ?? [];
  if (errors.length === 0) kind.rules.canonicalize?.(object);
  return { answer: answer(kind, object.metadata.name ?? '', errors), object, kind };
}

const VOLATILE = ['uid', 'resourceVersion', 'creationTimestamp', 'managedFields', 'generation'];

function stored(kind: Kind, object: unknown): unknown {
  const gvk = { group: kind.group, version: kind.version, kind: kind.kind };
  const isConverted = kind.group === 'events.k8s.io' && Reflect.has(object as object, 'message');
  const own = isConverted ? eventConversion.fromStorage(object as KubeObject) : object;
  const text = encodeJson(gvk, own as never).replaceAll(UID, 'UID');
  const copy = JSON.parse(text) as Json; // An object of that kind.
  const metadata = copy['metadata'] as Json; // Every object has it.
  for (const field of VOLATILE) delete metadata[field];
  const status = (copy['status'] ?? {}) as Json; // A map.
  delete status['lastPhaseTransitionTime'];
  for (const condition of (status['conditions'] ?? []) as Json[]) {
    delete condition['lastTransitionTime']; // Maps.
    delete condition['lastUpdateTime'];
  }
  return copy;
}

const NAME_AND_AGE = tableOf('Name,Age', ({ metadata }, nowMs) => [
  metadata.name,
  age(metadata.creationTimestamp, nowMs),
]);

/**
 * The time of the recording, to the second: the recorder asks for the table right after it has created
 * the object. Restarts of the table's pods are told relative to it (`2 (6y328d ago)`).
 */
function recordedAtMs(object: KubeObject): number {
  return Date.parse(object.metadata.creationTimestamp ?? '');
}

/** The recorder's two requests may lie in different seconds. */
function withoutAge(cell: unknown): unknown {
  return typeof cell === 'string' && /^\ds$/.test(cell) ? 'AGE' : cell;
}

for (const folder of ['cases', 'good'] as const) {
  const answers = recorded(folder);
  for (const entry of readCases(folder)) {
    if (!entry.key.includes(only)) continue;
    t.test(`${folder}: ${entry.key}`, async (t) => {
      const expected = answers[entry.key];
      if (expected === undefined) {
        t.fail('not recorded: run record.ts');
        return;
      }
      const result = entry.update === undefined ? create(entry) : update(entry, expected.old ?? {});
      if (folder === 'cases') {
        t.same(comparable(result.answer, entry), comparable(expected.answer, entry));
      } else {
        t.same(result.answer.message, undefined);
        t.same(stored(result.kind, result.object), stored(result.kind, expected.stored));
        if (expected.table !== undefined) {
          const rules = result.kind.rules.table ?? NAME_AND_AGE;
          const shown = canonical(result.kind, expected.table.object ?? expected.stored);
          const row = rules.row(shown, recordedAtMs(shown));
          const columns = rules.columns.map((c) => [c.name, c.type, c.format, c.priority]);
          t.strictSame(
            { columns, cells: row.cells.map(withoutAge) },
            {
              columns: expected.table.columns,
              cells: expected.table.cells.map(withoutAge),
            },
          );
        }
      }
    });
  }
}
