/** Random requests over a small key space, so that they meet each other. */
import fc from 'fast-check';
import type {
  Compare,
  KeyRange,
  Operation,
  RangeRequest,
  TxnRequest,
} from '#control/store/store.ts';

/** Few keys, some of them prefixes of others, with bytes above 127. */
export const key = fc.constantFrom(
  'a',
  'a\0',
  'aa',
  'ab',
  'b',
  'b\xff',
  'c/1',
  'c/2',
  'c/3',
  '\xfe',
);
const value = fc.uint8Array({ maxLength: 70 });

export const keyRange: fc.Arbitrary<KeyRange> = fc.oneof(
  fc.record({ key }),
  fc.record({ key, rangeEnd: fc.oneof(key, fc.constantFrom('\0', '', '\xff')) }),
);

/** Revisions relative to the present are turned into absolute ones when the step runs. */
export interface At {
  readonly back: number;
}

export type RangeStep = Omit<RangeRequest, 'revision'> & { readonly at: At | undefined };

const at = fc.option(fc.record({ back: fc.integer({ min: -1, max: 40 }) }), { nil: undefined });

export const rangeStep: fc.Arbitrary<RangeStep> = fc
  .tuple(keyRange, fc.integer({ min: 0, max: 4 }), fc.boolean(), fc.boolean(), at)
  .map(([range, limit, keysOnly, countOnly, step]) => ({
    ...range,
    limit,
    keysOnly,
    countOnly,
    at: step,
  }));

const compare: fc.Arbitrary<Compare> = fc
  .record({
    key,
    result: fc.constantFrom('=', '!=', '<', '>'),
    target: fc.constantFrom('mod', 'create', 'version', 'lease', 'value'),
    number: fc.integer({ min: 0, max: 5 }),
    value,
  })
  .map((c): Compare => {
    const { key: k, result, target } = c;
    if (target === 'value') return { key: k, result, target, value: c.value };
    if (target === 'lease') return { key: k, result, target, value: String(c.number) };
    return { key: k, result, target, value: c.number };
  });

const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc
      .record({ key, value, prevKv: fc.boolean() })
      .map((request): Operation => ({ kind: 'put', request })),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(keyRange, fc.boolean())
      .map(
        ([range, prevKv]): Operation => ({ kind: 'deleteRange', request: { ...range, prevKv } }),
      ),
  },
  {
    weight: 1,
    arbitrary: keyRange.map((request): Operation => ({ kind: 'range', request })),
  },
);

const operations = fc.array(operation, { maxLength: 4 });

export const txn: fc.Arbitrary<TxnRequest> = fc.record({
  compare: fc.array(compare, { maxLength: 2 }),
  success: operations,
  failure: operations,
});

export type Step =
  | { readonly kind: 'txn'; readonly request: TxnRequest }
  | { readonly kind: 'range'; readonly request: RangeStep }
  | { readonly kind: 'compact'; readonly at: At }
  | { readonly kind: 'watch'; readonly range: KeyRange; readonly at: At }
  | { readonly kind: 'restart' };

export function steps(restarts: boolean): fc.Arbitrary<Step[]> {
  const step: fc.Arbitrary<Step> = fc.oneof(
    { weight: 12, arbitrary: txn.map((request): Step => ({ kind: 'txn', request })) },
    { weight: 6, arbitrary: rangeStep.map((request): Step => ({ kind: 'range', request })) },
    {
      weight: 1,
      arbitrary: fc
        .record({ back: fc.integer({ min: -1, max: 20 }) })
        .map((back): Step => ({ kind: 'compact', at: back })),
    },
    {
      weight: 1,
      arbitrary: fc
        .tuple(keyRange, fc.record({ back: fc.integer({ min: 0, max: 40 }) }))
        .map(([range, back]): Step => ({ kind: 'watch', range, at: back })),
    },
    ...(restarts ? [{ weight: 1, arbitrary: fc.constant<Step>({ kind: 'restart' }) }] : []),
  );
  return fc.array(step, { maxLength: 120 });
}
