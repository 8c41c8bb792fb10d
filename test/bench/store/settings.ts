/** What a benchmark of the store is told on its command line, and the time that it takes. */
import { parseArgs } from 'node:util';

export const PARTS = ['put', 'get', 'watch', 'memory', 'restart', 'failover', 'stability'] as const;
export type PartName = (typeof PARTS)[number];

export const HELP = `Our store beside etcd: three members each, mutual TLS, one machine. Prints Markdown for BENCHMARKS.md.

  node --no-warnings test/bench/store/run.ts [OPTIONS]

  --parts LIST    of ${PARTS.join(',')}; all but stability when left out
  --seconds N     measured seconds of a run of puts (30); other runs take a third of it
  --pairs N       interleaved pairs of runs (5); of gets and watches at most 3
  --kills N       leaders of ours killed (50); of etcd a fifth
  --keys N        keys of 1 KB in memory and restart (1000000)
  --minutes N     length of stability, beside two CPU hogs and a disk hog (30)
  --dir PATH      where the members' directories are made ($TMPDIR or /tmp)
  --bin PATH      folder of etcd and etcd-benchmark 3.6.8 (what \`upstream dir\` prints)
  --wal WHERE     of our members: inline or worker (as the store's default)
  --ours-only     without etcd: no ratios
  --help

For a trial: --seconds 5 --pairs 1 --kills 5 --keys 100000. Progress goes to stderr, the tables to stdout.`;

export interface Settings {
  readonly parts: readonly PartName[];
  readonly seconds: number;
  readonly pairs: number;
  readonly kills: number;
  readonly keys: number;
  readonly minutes: number;
  readonly directory: string | undefined;
  readonly bin: string | undefined;
  readonly wal: 'inline' | 'worker' | undefined;
  readonly isOursOnly: boolean;
}

/** Undefined when help was asked for. Throws on what it does not understand. */
export function parseSettings(args: readonly string[]): Settings | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      parts: { type: 'string', default: PARTS.filter((part) => part !== 'stability').join(',') },
      seconds: { type: 'string', default: '30' },
      pairs: { type: 'string', default: '5' },
      kills: { type: 'string', default: '50' },
      keys: { type: 'string', default: '1000000' },
      minutes: { type: 'string', default: '30' },
      dir: { type: 'string' },
      bin: { type: 'string' },
      wal: { type: 'string' },
      'ours-only': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  return {
    parts: values.parts.split(',').map(partName),
    seconds: count('seconds', values.seconds),
    pairs: count('pairs', values.pairs),
    kills: count('kills', values.kills),
    keys: count('keys', values.keys),
    minutes: count('minutes', values.minutes),
    directory: values.dir,
    bin: values.bin,
    wal: values.wal === undefined ? undefined : wal(values.wal),
    isOursOnly: values['ours-only'],
  };
}

/** About what it takes, in seconds. */
export function estimateSeconds(settings: Settings): number {
  const { seconds, pairs, kills, keys, minutes, isOursOnly } = settings;
  const sides = isOursOnly ? 1 : 2;
  const runs = (count: number, each: number) => count * (each + RUN_OVERHEAD_SECONDS);
  const fill = keys / 20_000 + 20;
  const few = Math.min(pairs, FEW_PAIRS);
  const isBothLarge = settings.parts.includes('memory');
  const parts: Record<PartName, number> = {
    put: runs(3 * pairs * sides, seconds) + runs(pairs * sides, seconds / 3) + CALIBRATION_SECONDS,
    get: runs(2 * few * sides, seconds / 3) + CALIBRATION_SECONDS,
    watch: runs(2 * few * sides, seconds / 3) + CALIBRATION_SECONDS,
    memory: sides * fill + seconds,
    restart: sides * ((isBothLarge ? 0 : fill) + 10),
    failover: 2 * kills * 2.5 + (sides - 1) * 2 * (kills / 5) * 5,
    stability: minutes * 60,
  };
  return settings.parts.reduce((sum, part) => sum + parts[part], 20);
}

/** Of gets and watches, which vary less. */
export const FEW_PAIRS = 3;

const RUN_OVERHEAD_SECONDS = 6;
const CALIBRATION_SECONDS = 45;

function partName(text: string): PartName {
  const found = PARTS.find((part) => part === text);
  if (found === undefined) throw new Error(`no part ${text}; there are ${PARTS.join(', ')}`);
  return found;
}

function wal(text: string): 'inline' | 'worker' {
  if (text === 'inline' || text === 'worker') return text;
  throw new Error(`--wal ${text} is neither inline nor worker`);
}

function count(name: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new Error(`--${name} ${text} is no positive whole number`);
}
