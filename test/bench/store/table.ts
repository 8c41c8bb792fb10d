/** Markdown tables of figures from several runs. */
import { median } from '../statistics.ts';

/** The runs of one figure, ours and etcd's in pairs. */
export interface Row {
  readonly what: string;
  readonly ours: readonly number[];
  /** None where etcd was not measured. */
  readonly etcd: readonly number[];
  readonly digits: number;
  /** What is wanted, as the reader should see it, and whether these figures meet it. */
  readonly goal?: { readonly text: string; readonly met: (row: Judged) => boolean } | undefined;
}

/** Medians. */
export interface Judged {
  readonly ours: number;
  readonly ratio: number;
}

/** Each with its lowest and highest run in brackets; the ratio is the median of the pairs' ratios. */
export function formatTable(title: string, rows: readonly Row[]): string {
  const lines = rows.map((row) => {
    const ratios = row.ours.map((value, run) => value / (row.etcd[run] ?? Number.NaN));
    const judged = { ours: median(row.ours), ratio: median(ratios) };
    const goal = row.goal === undefined ? '' : verdict(row.goal, judged);
    const etcd =
      row.etcd.length === 0 ? ['', ''] : [spread(row.etcd, row.digits), spread(ratios, 2)];
    return `| ${[row.what, spread(row.ours, row.digits), ...etcd, goal].join(' | ')} |`;
  });
  return [
    `**${title}**`,
    '',
    '| figure | ours | etcd | ours / etcd | goal |',
    '|---|---|---|---|---|',
  ]
    .concat(lines, '')
    .join('\n');
}

function verdict(goal: NonNullable<Row['goal']>, judged: Judged): string {
  // A ratio is wanted, and etcd was not measured.
  if (Number.isNaN(judged.ratio) && goal.text.endsWith('times')) return goal.text;
  return `${goal.text}: ${goal.met(judged) ? 'met' : 'missed'}`;
}

function spread(values: readonly number[], digits: number): string {
  const text = (value: number) =>
    value.toLocaleString('en', { maximumFractionDigits: digits, minimumFractionDigits: digits });
  if (values.length === 1) return text(median(values));
  return `${text(median(values))} (${text(Math.min(...values))} to ${text(Math.max(...values))})`;
}

export const atLeast = (factor: number) => ({
  text: `≥ ${factor} times`,
  met: ({ ratio }: Judged) => ratio >= factor,
});

export const atMostTimes = (factor: number) => ({
  text: `≤ ${factor} times`,
  met: ({ ratio }: Judged) => ratio <= factor,
});

/** Of ours alone. */
export const atMost = (limit: number, unit: string) => ({
  text: `≤ ${limit.toLocaleString('en')} ${unit}`,
  met: ({ ours }: Judged) => ours <= limit,
});
