/**
 * Whether a CronJob's schedule can be read, and the complaint if not. The grammar and the texts are
 * those of robfig/cron v3's standard parser, which upstream uses.
 */

interface Bounds {
  readonly min: number;
  readonly max: number;
  readonly names: readonly string[];
}

const BOUNDS: readonly Bounds[] = [
  { min: 0, max: 59, names: [] },
  { min: 0, max: 23, names: [] },
  { min: 1, max: 31, names: [] },
  {
    min: 1,
    max: 12,
    names: ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'],
  },
  { min: 0, max: 6, names: ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] },
];
const DESCRIPTORS: ReadonlySet<string> = new Set([
  '@yearly',
  '@annually',
  '@monthly',
  '@weekly',
  '@daily',
  '@midnight',
  '@hourly',
]);
const EVERY = '@every ';
const DURATION = /^[-+]?((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))+$|^[-+]?0$/;
const INT_MAX = 2 ** 63;

/** Undefined for a schedule that is fine. */
export function scheduleProblem(schedule: string): string | undefined {
  if (schedule === '') return 'empty spec string';
  const text = schedule.replace(/^(?:CRON_)?TZ=\S* /, '').trim();
  if (text.startsWith('@')) return descriptorProblem(text);
  const fields = text.split(/\s+/).filter((field) => field !== '');
  if (fields.length !== BOUNDS.length) {
    return `expected exactly ${BOUNDS.length} fields, found ${fields.length}: [${fields.join(' ')}]`;
  }
  for (const [i, bounds] of BOUNDS.entries()) {
    for (const part of (fields[i] ?? '').split(',').filter((piece) => piece !== '')) {
      const problem = rangeProblem(part, bounds);
      if (problem !== undefined) return problem;
    }
  }
  return undefined;
}

function descriptorProblem(text: string): string | undefined {
  if (DESCRIPTORS.has(text)) return undefined;
  if (!text.startsWith(EVERY)) return `unrecognized descriptor: ${text}`;
  const duration = text.slice(EVERY.length);
  if (DURATION.test(duration)) return undefined;
  return `failed to parse duration ${text}: time: invalid duration "${duration}"`;
}

/** A number, or why there is none. */
function parseNumber(text: string, { names, min }: Bounds): number | string {
  const index = names.indexOf(text.toLowerCase());
  if (index >= 0) return index + min;
  const number = /^[-+]?\d+$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isNaN(number)) {
    return `failed to parse int from ${text}: strconv.Atoi: parsing "${text}": invalid syntax`;
  }
  if (Math.abs(number) >= INT_MAX) {
    return `failed to parse int from ${text}: strconv.Atoi: parsing "${text}": value out of range`;
  }
  return number < 0 ? `negative number (${number}) not allowed: ${text}` : number;
}

function rangeProblem(part: string, bounds: Bounds): string | undefined {
  const [range = '', step, ...slashes] = part.split('/');
  const [low = '', high, ...hyphens] = range.split('-');
  let start: number | string = bounds.min;
  let end: number | string = bounds.max;
  if (low !== '*' && low !== '?') {
    start = parseNumber(low, bounds);
    if (typeof start === 'string') return start;
    if (hyphens.length > 0) return `too many hyphens: ${part}`;
    end = high === undefined ? start : parseNumber(high, bounds);
    if (typeof end === 'string') return end;
  }
  if (slashes.length > 0) return `too many slashes: ${part}`;
  const steps = step === undefined ? 1 : parseNumber(step, { ...bounds, names: [] });
  if (typeof steps === 'string') return steps;
  if (step !== undefined && high === undefined) end = bounds.max;
  if (start < bounds.min) {
    return `beginning of range (${start}) below minimum (${bounds.min}): ${part}`;
  }
  if (end > bounds.max) return `end of range (${end}) above maximum (${bounds.max}): ${part}`;
  if (start > end) return `beginning of range (${start}) beyond end of range (${end}): ${part}`;
  if (steps === 0) return `step of range should be a positive number: ${part}`;
  return undefined;
}
