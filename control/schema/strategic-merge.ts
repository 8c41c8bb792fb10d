/**
 * Kubernetes' strategic merge patch: a JSON merge patch that knows which lists merge by key, with
 * directives ($patch, $retainKeys, $deleteFromPrimitiveList/x, $setElementOrder/x). The rules are
 * those of API conventions' "Strategic Merge Patch" and of apimachinery v0.36.3, whose error texts
 * clients see. Inputs are not changed.
 */
import { SchemaError } from './gvk.ts';
import { orderItems } from './merge-order.ts';
import { type Fields, goFormat, goTypeOf, isMap } from './patch-values.ts';
import type { FieldInfo, TypeRef } from './types.ts';

const DIRECTIVE = '$patch';
const RETAIN_KEYS = '$retainKeys';
const DELETE_FROM = '$deleteFromPrimitiveList';
const SET_ORDER = '$setElementOrder';

const BAD_PRIMITIVE_LIST = 'invalid patch format of primitive list';
const BAD_RETAIN_KEYS = 'invalid patch format of retainKeys';
const BAD_ORDER = 'invalid patch format of setElementOrder list';

function badPatch(message: string): never {
  throw new SchemaError('BAD_PATCH', message);
}

function failed(message: string): never {
  throw new SchemaError('PATCH_FAILED', message);
}

function badType(expected: string, value: unknown): never {
  const actual = goTypeOf(value);
  failed(`expected a ${expected}, but received a ${actual === 'nil' ? '%!s(<nil>)' : actual}`);
}

function noMergeKey(item: Fields, key: string): never {
  failed(`map: ${goFormat(item)} does not contain declared merge key: ${key}`);
}

/** The field of a type that a key of a patch names; upstream ignores case here. */
function fieldOf(ref: TypeRef, key: string): FieldInfo {
  if (ref.kind === 'raw') {
    failed(
      `unable to find api field in struct RawExtension for the json field ${JSON.stringify(key)}`,
    );
  }
  if (ref.kind !== 'struct') {
    const kind = ref.kind === 'list' ? 'slice' : ref.kind;
    failed(`merging an object in json but data type is not struct, instead is: ${kind}`);
  }
  const { struct } = ref;
  const lower = key.toLowerCase();
  const field = struct.byName.get(key) ?? struct.fields.find((f) => f.json.toLowerCase() === lower);
  if (field !== undefined) return field;
  const name = struct.go.slice(struct.go.indexOf('.') + 1);
  return failed(
    `unable to find api field in struct ${name} for the json field ${JSON.stringify(key)}`,
  );
}

interface ListRules {
  readonly item: TypeRef;
  readonly mergeKey: string;
  readonly merges: boolean;
}

const strategiesOf = (field: FieldInfo): readonly string[] =>
  (field.extras.patchStrategy ?? '').split(',');

function listRules(ref: TypeRef, key: string): ListRules {
  const field = fieldOf(ref, key);
  if (field.ref.kind !== 'list') {
    failed(`expected slice or array type, but got: ${ref.kind}`);
  }
  const merges = strategiesOf(field).includes('merge');
  return { item: field.ref.item, mergeKey: field.extras.patchMergeKey ?? '', merges };
}

/** A value that is taken over whole: without null fields and directives; undefined = nothing. */
function taken(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(taken).filter((v) => v !== undefined);
  if (!isMap(value)) return value;
  if (DIRECTIVE in value) return undefined;
  const out: Record<string, unknown> = {};
  for (const [key, inner] of Object.entries(value)) {
    const kept = inner === null ? undefined : taken(inner);
    if (kept !== undefined) out[key] = kept;
  }
  return out;
}

/** The kind of all items; maps are merged by key, scalars as sets. */
function itemType(...lists: readonly (readonly unknown[])[]): string {
  let type: string | undefined;
  for (const item of lists.flat()) {
    const own = goTypeOf(item);
    if (type === undefined) {
      if (own === '[]interface {}') {
        throw new SchemaError('UNPROCESSABLE_PATCH', 'lists of lists are not supported');
      }
      type = own;
    } else if (type !== own) {
      failed(`list element types are not identical: [${lists.map(goFormat).join(' ')}]`);
    }
  }
  return type ?? failed('no elements in any of the given slices');
}

function keyOf(item: unknown, mergeKey: string): unknown {
  if (!isMap(item)) return badType('map[string]interface {}', item);
  return mergeKey in item ? item[mergeKey] : noMergeKey(item, mergeKey);
}

function findByKey(list: readonly unknown[], mergeKey: string, value: unknown): number {
  return list.findIndex((item, i) => {
    if (!isMap(item)) failed(`value for key ${i} is not a map`);
    return mergeKey in item && item[mergeKey] === value;
  });
}

/** Splits by presence in `by`, then orders both parts. */
function ordered(
  merged: readonly unknown[],
  by: readonly unknown[],
  server: readonly unknown[],
  mergeKey: string,
): unknown[] {
  const isKeyed = mergeKey !== '';
  const id = (item: unknown): unknown => (isKeyed && isMap(item) ? item[mergeKey] : item);
  if (isKeyed) for (const item of [...merged, ...by]) keyOf(item, mergeKey);
  const inPatch = (item: unknown): boolean => by.some((other) => id(other) === id(item));
  const isDeletion = (item: unknown): boolean => isMap(item) && item[DIRECTIVE] === 'delete';
  return orderItems(
    {
      fromPatch: merged.filter(inPatch),
      serverOnly: merged.filter((item) => !inPatch(item)),
      patchOrder: by,
      serverOrder: server,
    },
    id,
    isDeletion,
  );
}

/** The items that stay and the patch's plain items, after its `$patch` items took effect. */
function applyItemDirectives(
  original: readonly unknown[],
  patch: readonly unknown[],
  mergeKey: string,
): { readonly original: readonly unknown[]; readonly patch: readonly unknown[] } {
  let kept = original;
  const plain: unknown[] = [];
  let replaces = false;
  for (const item of patch) {
    if (!isMap(item) || !(DIRECTIVE in item)) {
      plain.push(item);
      continue;
    }
    const directive = item[DIRECTIVE];
    if (directive === 'delete') {
      const value = mergeKey in item ? item[mergeKey] : noMergeKey(item, mergeKey);
      kept = kept.filter((other) => !isMap(other) || other[mergeKey] !== value);
    } else if (directive === 'replace') {
      replaces = true;
    } else if (directive === 'merge') {
      failed('merging lists cannot yet be specified in the patch');
    } else {
      failed(`unknown patch type: ${goFormat(directive)} in map: ${goFormat(item)}`);
    }
  }
  return replaces ? { original: plain, patch: [] } : { original: kept, patch: plain };
}

interface MergeResult {
  readonly items: readonly unknown[];
  /**
   * The server's order, for a second ordering: what upstream finds there, whose in-place merge puts
   * new items where deleted ones left room.
   */
  readonly serverOrder: readonly unknown[];
}

function mergeList(
  original: readonly unknown[],
  patch: readonly unknown[],
  rules: ListRules,
): MergeResult {
  if (original.length === 0 && patch.length === 0) return { items: [], serverOrder: [] };
  const { mergeKey, item: ref } = rules;
  if (itemType(original, patch) !== 'map[string]interface {}') {
    const items = ordered([...new Set([...original, ...patch])], patch, original, mergeKey);
    return { items, serverOrder: original };
  }
  if (mergeKey === '') failed(`cannot merge lists without merge key for ${ref.kind}`);
  const plain = applyItemDirectives(original, patch, mergeKey);
  const merged = [...plain.original];
  for (const item of plain.patch) {
    const value = keyOf(item, mergeKey);
    const at = findByKey(merged, mergeKey, value);
    if (at < 0) merged.push(item);
    else merged[at] = mergeMap(merged[at] as Fields, item as Fields, ref); // keyOf and findByKey checked.
  }
  return {
    items: ordered(merged, plain.patch, plain.original, mergeKey),
    serverOrder: merged.slice(0, original.length),
  };
}

/** The patch's items must come in the order that $setElementOrder gives. */
function checkOrder(patch: readonly unknown[], order: readonly unknown[], mergeKey: string): void {
  if (order.length === 0 || patch.length === 0) return;
  const isKeyed = mergeKey !== '';
  const items = patch.filter((item) => {
    if (isKeyed && !isMap(item)) badType('map[string]interface {}', item);
    return !(isMap(item) && item[DIRECTIVE] === 'delete');
  });
  const id = (item: unknown): unknown => (isKeyed ? keyOf(item, mergeKey) : item);
  const isDirective = (item: unknown): boolean => isMap(item) && DIRECTIVE in item;
  let at = 0;
  for (const next of order) {
    while (at < items.length && isDirective(items[at])) at += 1;
    if (at < items.length && id(items[at]) === id(next)) at += 1;
  }
  if (at < items.length) {
    failed(
      `The order in patch list:\n${goFormat(patch)}\n doesn't match ${SET_ORDER} list:\n${goFormat(order)}\n`,
    );
  }
}

function listOrAbsent(fields: Fields, key: string): readonly unknown[] | undefined {
  if (!(key in fields)) return undefined;
  const value = fields[key];
  return Array.isArray(value) ? value : badType('[]interface {}', value);
}

/** Merges and orders the lists that have a $setElementOrder; returns the keys that are done. */
function applyOrders(out: Record<string, unknown>, patch: Fields, ref: TypeRef): Set<string> {
  const done = new Set<string>();
  for (const key of Object.keys(patch).filter((k) => k.startsWith(SET_ORDER))) {
    done.add(key);
    const order = patch[key];
    if (!Array.isArray(order)) badType('[]interface {}', order);
    if (!key.startsWith(`${SET_ORDER}/`)) badPatch(BAD_ORDER);
    const name = key.slice(SET_ORDER.length + 1);
    const original = listOrAbsent(out, name);
    const patched = listOrAbsent(patch, name);
    const rules = listRules(ref, name);
    checkOrder(patched ?? [], order as unknown[], rules.mergeKey); // Just checked.
    if (original === undefined && patched === undefined) continue;
    let merged = original ?? (taken(patched) as unknown[]); // A list stays a list.
    let serverOrder = original ?? [];
    if (original !== undefined && patched !== undefined) {
      const both = { items: patched, serverOrder };
      ({ items: merged, serverOrder } = rules.merges ? mergeList(original, patched, rules) : both);
    }
    itemType(original ?? [], patched ?? []);
    out[name] = ordered(merged, order as unknown[], serverOrder, rules.mergeKey); // As above.
    done.add(name);
  }
  return done;
}

/** Clears what $retainKeys does not name. */
function applyRetainKeys(out: Record<string, unknown>, patch: Fields): void {
  if (!(RETAIN_KEYS in patch)) return;
  const keys = patch[RETAIN_KEYS];
  if (!Array.isArray(keys)) badPatch(BAD_RETAIN_KEYS);
  const retained = new Set<unknown>(keys as unknown[]); // Just checked.
  for (const [key, value] of Object.entries(patch)) {
    const isDirective =
      key === RETAIN_KEYS || key.startsWith(DELETE_FROM) || key.startsWith(SET_ORDER);
    if (value !== null && !isDirective && !retained.has(key)) badPatch(BAD_RETAIN_KEYS);
  }
  for (const key of Object.keys(out)) if (!retained.has(key)) delete out[key];
}

function mergeField(out: Record<string, unknown>, key: string, patch: unknown, ref: TypeRef): void {
  const original = out[key];
  const isBoth = goTypeOf(original) === goTypeOf(patch);
  if (isBoth && isMap(original) && isMap(patch)) {
    const field = fieldOf(ref, key);
    out[key] = strategiesOf(field).includes('replace')
      ? patch
      : mergeMap(original, patch, field.ref);
  } else if (isBoth && Array.isArray(original) && Array.isArray(patch)) {
    const rules = listRules(ref, key);
    out[key] = rules.merges ? mergeList(original, patch, rules).items : patch;
  } else {
    const value = taken(patch);
    if (value === undefined) delete out[key];
    else out[key] = value;
  }
}

function deleteFromList(out: Record<string, unknown>, directive: string, patch: unknown): void {
  if (!directive.startsWith(`${DELETE_FROM}/`)) badPatch(BAD_PRIMITIVE_LIST);
  const key = directive.slice(DELETE_FROM.length + 1);
  if (patch === null) {
    delete out[key];
    return;
  }
  const original = out[key];
  if (!Array.isArray(original) || !Array.isArray(patch)) return;
  if (original.length === 0 && patch.length === 0) return;
  const toDelete = new Set<unknown>(patch);
  itemType(original, patch);
  out[key] = original.filter((item) => !toDelete.has(item));
}

function mergeMap(original: Fields, patch: Fields, ref: TypeRef): Fields {
  if (DIRECTIVE in patch) {
    const { [DIRECTIVE]: directive, ...rest } = patch;
    if (directive === 'replace') return rest;
    if (directive === 'delete') return {};
    failed(`unknown patch type: ${goFormat(directive)} in map: ${goFormat(patch)}`);
  }
  const out: Record<string, unknown> = { ...original };
  applyRetainKeys(out, patch);
  const done = applyOrders(out, patch, ref);
  // Deletions first, so that what a patch adds is there in the end; upstream leaves that to chance.
  for (const [key, value] of Object.entries(patch)) {
    if (key.startsWith(DELETE_FROM)) deleteFromList(out, key, value);
  }
  for (const [key, value] of Object.entries(patch)) {
    if (done.has(key) || key === RETAIN_KEYS || key.startsWith(DELETE_FROM)) continue;
    if (value === null) delete out[key];
    else mergeField(out, key, value, ref);
  }
  return out;
}

/**
 * The object with the patch merged in; to be normalised by the caller. Throws SchemaError BAD_PATCH
 * (400), UNPROCESSABLE_PATCH (422) or PATCH_FAILED (500), the text being upstream's.
 */
export function mergeStrategic(original: Fields, patch: Fields, ref: TypeRef): Fields {
  return mergeMap(original, patch, ref);
}
