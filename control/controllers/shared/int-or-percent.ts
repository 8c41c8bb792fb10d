/** IntOrString values such as maxSurge: a number, or a percentage of a total. Pure. */

export type IntOrPercent = number | string;

/** `25%` of `total`, rounded up or down; a plain number as it is; what is neither counts as 0. */
export function scaledValue(
  value: IntOrPercent | undefined,
  total: number,
  rounding: 'up' | 'down',
): number {
  if (value === undefined) return 0;
  if (typeof value === 'number') return value;
  const match = /^(\d+)%$/.exec(value);
  if (match === null) return /^\d+$/.test(value) ? Number(value) : 0;
  const exact = (Number(match[1]) * total) / 100;
  return rounding === 'up' ? Math.ceil(exact) : Math.floor(exact);
}
