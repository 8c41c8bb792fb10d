/**
 * A source that watches itself: at each place where a mutant could be put it notices whether the
 * mutant would have done anything else there than what was done. Tests in which a mutant would never
 * have made a difference pass with it, too, and need not be run. In doubt it would have.
 *
 * Probes call `globalThis.mutationProbe`, a Probe (probe.ts). Pure.
 */
import { type Mutant, type Site, mutantsOf, plainOf, sitesOf } from './mutants.ts';

/** The source with probes, as JavaScript. */
export function probed(source: string, base = 0): string {
  const plain = plainOf(source);
  const numbers = new Map(mutantsOf(source).map((mutant, index) => [keyOf(mutant), base + index]));
  const edits: Edit[] = [];
  for (const site of sitesOf(source)) {
    const own = site.mutants.map((mutant) => numbers.get(keyOf(mutant)) ?? -1);
    edits.push(...editsFor(site, own, edits.length));
  }
  return applied(plain, edits);
}

/** Text put in before or behind a node, or instead of an operator. */
interface Edit {
  readonly at: number;
  readonly text: string;
  readonly kind: 'close' | 'open' | 'instead';
  /** Of an opening: where its node ends; of a closing: where it starts. */
  readonly other: number;
  /** Of nodes of the same extent the outer one has the higher. */
  readonly order: number;
}

function around(
  start: number,
  end: number,
  [open, close, order]: [string, string, number],
): Edit[] {
  return [
    { at: start, text: open, kind: 'open', other: end, order },
    { at: end, text: close, kind: 'close', other: start, order },
  ];
}

function editsFor({ kind, start, end, operator, mutants }: Site, own: number[], order: number) {
  const [first = -1] = own;
  const here = `mutationProbe.here(${first})`;
  switch (kind) {
    case 'binary': {
      const { start: at, end: other } = operator?.at ?? { start, end };
      const call = `mutationProbe.binary(${first}, '${operator?.text}', `;
      const comma: Edit = { at, text: ',', kind: 'instead', other, order };
      return [comma, ...around(start, end, [call, ')', order])];
    }
    case 'logical':
      return (operator?.sides ?? []).flatMap((side) => {
        // With both sides the same boolean, `&&` and `||` are one.
        const same = { '&&': ', true', '||': ', false' }[operator?.text ?? ''] ?? ', undefined';
        const call = `mutationProbe.side(${first}, (`;
        return around(side.start, side.end, [call, `)${same})`, order]);
      });
    case 'test': {
      const byValue = ['true', 'false'].map(
        (value) => own[mutants.findIndex(({ replacement }) => replacement === value)] ?? -1,
      );
      return around(start, end, [`mutationProbe.test(${byValue.join(', ')}, (`, '))', order]);
    }
    case 'expression':
      return around(start, end, [`(${here}, (`, '))', order]);
    case 'statement':
      return around(start, end, [`{${here};`, '}', order]);
    case 'block':
      return [{ at: start + 1, text: `${here};`, kind: 'open' as const, other: end, order }];
    default:
      return kind satisfies never;
  }
}

/** What ends at a place is closed, inner first, before what begins there is opened, outer first. */
function applied(plain: string, edits: readonly Edit[]): string {
  const rank = { close: 0, open: 1, instead: 2 };
  const sorted = edits.toSorted(
    (a, b) =>
      a.at - b.at ||
      rank[a.kind] - rank[b.kind] ||
      b.other - a.other ||
      (a.kind === 'close' ? a.order - b.order : b.order - a.order),
  );
  let text = '';
  let from = 0;
  for (const { at, text: added, kind, other } of sorted) {
    text += plain.slice(from, at) + added;
    from = kind === 'instead' ? other : at;
  }
  return text + plain.slice(from);
}

function keyOf({ start, end, replacement }: Mutant): string {
  return `${start} ${end} ${replacement}`;
}
