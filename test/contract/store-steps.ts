/**
 * Random requests over a small key space, so that they meet each other. Revisions are relative to the
 * present and leases are slots, since their numbers differ between stores and runs.
 */
import fc from 'fast-check';
import type {
  Compare,
  KeyRange,
  LeaseId,
  Operation,
  RangeRequest,
  TxnRequest,
} from '#control/store/store.ts';

/** Few keys, some of them prefixes of others, with bytes above 127. */
const key = fc.constantFrom('a', 'a\0', 'aa', 'ab', 'b', 'b\xff', 'c/1', 'c/2', 'c/3', '\xfe');

const value = fc.uint8Array({ maxLength: 70 });

const keyRange: fc.Arbitrary<KeyRange> = fc.oneof(
  fc.record({ key }),
  fc.record({ key, rangeEnd: fc.oneof(key, fc.constantFrom('\0', '', '\xff')) }),
);

/** So many revisions before the present; negative = in the future. */
export interface At {
  readonly back: number;
}

const at = (min: number, max: number) => fc.record({ back: fc.integer({ min, max }) });

/** 0 = no lease; a slot may hold a living lease, a revoked one, or none ever granted. */
export type Slot = number;

const slot: fc.Arbitrary<Slot> = fc.integer({ min: 1, max: 3 });

export type RangeStep = Omit<RangeRequest, 'revision'> & { readonly at: At | undefined };

/** At a revision in one of `oneIn` cases, else of the present. */
function range(oneIn: number): fc.Arbitrary<RangeStep> {
  return fc
    .tuple(
      keyRange,
      fc.integer({ min: 0, max: 4 }),
      fc.boolean(),
      fc.boolean(),
      fc.boolean(),
      fc.oneof(
        { weight: oneIn - 1, arbitrary: fc.constant(undefined) },
        { weight: 1, arbitrary: at(-1, 40) },
      ),
    )
    .map(([keys, limit, keysOnly, countOnly, serializable, when]) => ({
      ...keys,
      limit,
      keysOnly,
      countOnly,
      serializable,
      at: when,
    }));
}

export type CompareStep = {
  readonly key: string;
  readonly result: '=' | '!=' | '<' | '>';
} & (
  | { readonly target: 'mod' | 'create'; readonly at: At }
  | { readonly target: 'version'; readonly value: number }
  | { readonly target: 'value'; readonly value: Uint8Array }
  | { readonly target: 'lease'; readonly slot: Slot }
);

const result = fc.constantFrom('=', '!=', '<', '>');

const compare: fc.Arbitrary<CompareStep> = fc.oneof(
  fc.record({ key, result, target: fc.constantFrom('mod', 'create'), at: at(0, 10) }),
  fc.record({
    key,
    result,
    target: fc.constant('version'),
    value: fc.integer({ min: 0, max: 3 }),
  }),
  fc.record({ key, result, target: fc.constant('value'), value }),
  // Ids of different leases have no order that stores share.
  fc.record({ key, result: fc.constantFrom('=', '!='), target: fc.constant('lease'), slot }),
  fc.record({ key, result, target: fc.constant('lease'), slot: fc.constant(0) }),
);

export type OperationStep =
  | { readonly kind: 'range'; readonly request: RangeStep }
  | {
      readonly kind: 'put';
      readonly key: string;
      readonly value: Uint8Array;
      readonly slot: Slot;
      readonly prevKv: boolean;
    }
  | { readonly kind: 'deleteRange'; readonly range: KeyRange; readonly prevKv: boolean };

const prevKv = fc.boolean();

const operation: fc.Arbitrary<OperationStep> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('put'),
      key,
      value,
      slot: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: slot }),
      prevKv,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('deleteRange'), range: keyRange, prevKv }),
  },
  // Beside a write, reading at a revision is refused: seldom, so that most branches run.
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('range'), request: range(8) }) },
);

const operations = fc.array(operation, { maxLength: 4 });

export interface TxnStep {
  readonly compare: readonly CompareStep[];
  readonly success: readonly OperationStep[];
  readonly failure: readonly OperationStep[];
}

const reads = fc.array(fc.record({ kind: fc.constant('range'), request: range(2) }), {
  maxLength: 3,
});

export const txn: fc.Arbitrary<TxnStep> = fc.record({
  compare: fc.array(compare, { maxLength: 2 }),
  success: fc.oneof({ weight: 6, arbitrary: operations }, { weight: 1, arbitrary: reads }),
  failure: fc.oneof({ weight: 6, arbitrary: operations }, { weight: 1, arbitrary: reads }),
});

export type Step =
  | ({ readonly kind: 'txn' } & TxnStep)
  | { readonly kind: 'range'; readonly request: RangeStep }
  | { readonly kind: 'compact'; readonly at: At }
  | {
      readonly kind: 'watch';
      readonly range: KeyRange;
      readonly at: At;
      readonly prevKv: boolean;
    }
  | { readonly kind: 'grant' | 'revoke' | 'keepAlive'; readonly slot: Slot }
  | { readonly kind: 'restart' };

/** Sequences of up to `lengthMax` steps. */
export function steps(options: { lengthMax: number; restarts: boolean }): fc.Arbitrary<Step[]> {
  const weighted: fc.WeightedArbitrary<Step>[] = [
    { weight: 40, arbitrary: txn.map((request) => ({ kind: 'txn', ...request })) },
    { weight: 20, arbitrary: fc.record({ kind: fc.constant('range'), request: range(2) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('compact'), at: at(-1, 20) }) },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('watch'),
        range: keyRange,
        at: at(-6, 40),
        prevKv,
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('grant'), slot }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('revoke'), slot }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('keepAlive'), slot }) },
  ];
  if (options.restarts) weighted.push({ weight: 2, arbitrary: fc.constant({ kind: 'restart' }) });
  return fc.array(fc.oneof(...weighted), { maxLength: options.lengthMax, size: 'max' });
}

/** Turns what steps leave open into numbers of one store. */
export interface Resolver {
  readonly revision: (at: At | undefined) => number;
  readonly leaseId: (slot: Slot) => LeaseId;
}

export function buildTxn(step: TxnStep, resolve: Resolver): TxnRequest {
  return {
    compare: step.compare.map((item) => buildCompare(item, resolve)),
    success: step.success.map((item) => buildOperation(item, resolve)),
    failure: step.failure.map((item) => buildOperation(item, resolve)),
  };
}

export function buildRange({ at, ...request }: RangeStep, resolve: Resolver): RangeRequest {
  return { ...request, revision: resolve.revision(at) };
}

function buildCompare(step: CompareStep, resolve: Resolver): Compare {
  const { key, result } = step;
  switch (step.target) {
    case 'mod':
    case 'create':
      return { key, result, target: step.target, value: resolve.revision(step.at) };
    case 'lease':
      return { key, result, target: step.target, value: resolve.leaseId(step.slot) };
    case 'version':
    case 'value':
      return step;
  }
}

function buildOperation(step: OperationStep, resolve: Resolver): Operation {
  switch (step.kind) {
    case 'range':
      return { kind: 'range', request: buildRange(step.request, resolve) };
    case 'put': {
      const { key, value, prevKv, slot } = step;
      return { kind: 'put', request: { key, value, prevKv, leaseId: resolve.leaseId(slot) } };
    }
    case 'deleteRange':
      return { kind: 'deleteRange', request: { ...step.range, prevKv: step.prevKv } };
  }
}
