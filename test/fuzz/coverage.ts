/**
 * Which branches of the store's decoders fuzzing reaches: runs it under V8's block coverage and prints a share
 * for each file, and the lines of what was not reached. `node test/fuzz/coverage.ts [--inputs N]`. A branch is a
 * function or a block with code that V8 counts by itself.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const STORE = join(import.meta.dirname, '../../control/store');
const FILES = [
  'codec/bytes.ts',
  'codec/check-request.ts',
  'codec/frame.ts',
  'codec/hello.ts',
  'codec/members.ts',
  'codec/peer.ts',
  'codec/read-command.ts',
  'codec/reply.ts',
  'codec/roster.ts',
  'wal/format.ts',
  'wal/record.ts',
  'wal/recover.ts',
  'wal/segment-file.ts',
  'checkpoint/format.ts',
  'checkpoint/read.ts',
  'checkpoint/rows.ts',
];

interface Range {
  readonly startOffset: number;
  readonly endOffset: number;
  readonly count: number;
}

interface ScriptCoverage {
  readonly url: string;
  readonly functions: readonly {
    readonly functionName: string;
    readonly ranges: readonly Range[];
  }[];
}

const { values } = parseArgs({ options: { inputs: { type: 'string', default: '300000' } } });
const directory = mkdtempSync(join(tmpdir(), 'fuzz-coverage-'));
try {
  execFileSync(
    process.execPath,
    ['--no-warnings', join(import.meta.dirname, 'store.ts'), '--inputs', values.inputs],
    {
      env: { ...process.env, NODE_V8_COVERAGE: directory },
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  );
  report();
} finally {
  rmSync(directory, { recursive: true, force: true });
}

function report(): void {
  const [name = ''] = readdirSync(directory);
  const { result } = JSON.parse(readFileSync(join(directory, name), 'utf8')) as {
    result: readonly ScriptCoverage[]; // V8's format.
  };
  let [reached, total] = [0, 0];
  for (const file of FILES) {
    const path = join(STORE, file);
    const script = result.find(({ url }) => url === pathToFileURL(path).href);
    const text = readFileSync(path, 'utf8');
    // V8 counts what follows a throw or return, too, where that is the end of the block.
    const ranges = (script?.functions.flatMap((f) => f.ranges) ?? []).filter(
      ({ startOffset, endOffset }) => !/^[\s})\];]*$/.test(text.slice(startOffset, endOffset)),
    );
    const missed = ranges.filter(({ count }) => count === 0);
    reached += ranges.length - missed.length;
    total += ranges.length;
    const lines = missed.map(({ startOffset }) => text.slice(0, startOffset).split('\n').length);
    const where = missed.length > 0 ? ` not: lines ${[...new Set(lines)].join(' ')}` : '';
    console.log(`${share(ranges.length - missed.length, ranges.length)} ${file}${where}`);
  }
  console.log(`${share(reached, total)} of ${total} branches in all`);
}

function share(part: number, whole: number): string {
  return `${((100 * part) / Math.max(1, whole)).toFixed(1).padStart(5)} %`;
}
