/**
 * A plain model of what a run of operations leaves in a store: one map, copied for each operation. For
 * tests that compare a store after a fault with what it may hold.
 */

export interface ModelValue {
  readonly value: string;
  readonly create: number;
  readonly mod: number;
  readonly version: number;
  /** Number of the operation that granted the lease; 0 = none. */
  readonly lease: number;
}

export interface ModelState {
  readonly revision: number;
  readonly compactRevision: number;
  readonly keys: ReadonlyMap<string, ModelValue>;
  readonly leases: ReadonlySet<number>;
}

export type ModelOperation =
  | { readonly kind: 'put'; readonly key: string; readonly value: string; readonly lease: number }
  /** Writes only when the key has its current mod revision, or has not. */
  | { readonly kind: 'swap'; readonly key: string; readonly mod: number; readonly value: string }
  | { readonly kind: 'delete'; readonly key: string; readonly rangeEnd: string | undefined }
  | { readonly kind: 'compact'; readonly revision: number }
  | { readonly kind: 'grant'; readonly lease: number }
  | { readonly kind: 'revoke'; readonly lease: number };

export const EMPTY: ModelState = {
  revision: 1,
  compactRevision: 0,
  keys: new Map(),
  leases: new Set(),
};

/** The state behind an operation; the same state when the operation is refused or writes nothing. */
export function applyToModel(state: ModelState, operation: ModelOperation): ModelState {
  switch (operation.kind) {
    case 'put':
      if (operation.lease !== 0 && !state.leases.has(operation.lease)) return state;
      return put(state, operation);
    case 'swap':
      if ((state.keys.get(operation.key)?.mod ?? 0) !== operation.mod) return state;
      return put(state, { ...operation, lease: 0 });
    case 'delete':
      return remove(state, (key) => isIn(key, operation));
    case 'compact': {
      const { revision } = operation;
      if (revision <= state.compactRevision || revision > state.revision) return state;
      return { ...state, compactRevision: revision };
    }
    case 'grant':
      return { ...state, leases: new Set([...state.leases, operation.lease]) };
    case 'revoke': {
      const { lease } = operation;
      if (!state.leases.has(lease)) return state;
      const leases = new Set([...state.leases].filter((other) => other !== lease));
      return { ...remove(state, (_key, value) => value.lease === lease), leases };
    }
    default:
      return operation satisfies never;
  }
}

function put(
  state: ModelState,
  { key, value, lease }: { key: string; value: string; lease: number },
): ModelState {
  const old = state.keys.get(key);
  const revision = state.revision + 1;
  const keys = new Map(state.keys);
  keys.set(key, {
    value,
    create: old?.create ?? revision,
    mod: revision,
    version: (old?.version ?? 0) + 1,
    lease,
  });
  return { ...state, revision, keys };
}

function remove(
  state: ModelState,
  isDoomed: (key: string, value: ModelValue) => boolean,
): ModelState {
  const kept = new Map([...state.keys].filter(([key, value]) => !isDoomed(key, value)));
  if (kept.size === state.keys.size) return state;
  return { ...state, revision: state.revision + 1, keys: kept };
}

function isIn(key: string, range: { key: string; rangeEnd: string | undefined }): boolean {
  return range.rangeEnd === undefined
    ? key === range.key
    : key >= range.key && key < range.rangeEnd;
}
