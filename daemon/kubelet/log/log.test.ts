/** Log lines, reading from the end, following across a rotation, rotating. */
import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { type Clock, RealClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { LOG_FILE_BYTES_MAX } from '../limits.ts';
import { FakeRuntime } from '../pod/fake-runtime.ts';
import { parseLogLine, renderLogLine } from './log-line.ts';
import { type LogRequest, readLog } from './log-reader.ts';
import { rotateLogs } from './log-rotator.ts';

const clock = new RealClock();

function scratch(t: { teardown(run: () => void): void }): string {
  const dir = mkdtempSync(join(tmpdir(), 'bareboat-log-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return join(dir, '0.log');
}

const line = (second: number, text: string, tag = 'F', stream = 'stdout') =>
  `2026-11-23T05:32:${String(second).padStart(2, '0')}.000000001+00:00 ${stream} ${tag} ${text}\n`;

await t.test('parseLogLine() and renderLogLine()', async (t) => {
  const render = (text: string, filter = {}) => {
    const parsed = parseLogLine(Buffer.from(text.trimEnd()));
    return parsed === undefined
      ? undefined
      : renderLogLine(parsed, { timestamps: false, ...filter })?.toString();
  };
  for (const [text, filter, want] of [
    [line(1, 'hello'), {}, 'hello\n'],
    [line(1, ''), {}, '\n'],
    [line(1, 'part', 'P'), {}, 'part'],
    [line(1, '  two  blanks'), {}, '  two  blanks\n'],
    [line(1, 'x'), { timestamps: true }, '2026-11-23T05:32:01.000000001Z x\n'],
    [line(1, 'x'), { sinceMs: Date.parse('2026-11-23T05:32:02Z') }, undefined],
    [line(3, 'x'), { sinceMs: Date.parse('2026-11-23T05:32:02Z') }, 'x\n'],
    [line(1, 'x', 'F', 'stderr'), { stream: 'stdout' }, undefined],
    ['garbage', {}, undefined],
    ['2026 stdlog F x', {}, undefined],
  ] as const) {
    t.equal(render(text, filter), want, text);
  }
});

async function read(path: string, options: Partial<LogRequest> = {}): Promise<string> {
  const request = {
    path,
    filter: { timestamps: false },
    follow: false,
    ended: () => true,
    ...options,
  };
  let text = '';
  for await (const block of readLog(request, clock, new AbortController().signal)) {
    text += block.toString();
  }
  return text;
}

await t.test('readLog() tails and limits', async (t) => {
  const path = scratch(t);
  const count = 5_000;
  writeFileSync(path, Array.from({ length: count }, (_, i) => line(i % 60, `line ${i}`)).join(''));
  t.equal((await read(path)).split('\n').length, count + 1);
  t.equal(await read(path, { tailLines: 2 }), 'line 4998\nline 4999\n');
  t.equal((await read(path, { tailLines: 3000 })).split('\n').length, 3001);
  t.equal(await read(path, { tailLines: 0 }), '');
  t.equal((await read(path, { tailLines: 99_999 })).split('\n').length, count + 1);
  t.equal(await read(path, { limitBytes: 10 }), 'line 0\nlin');
  await t.rejects(read(`${path}.none`), { code: 'ENOENT' });
});

await t.test('readLog() follows across a rotation until the container ends', async (t) => {
  const path = scratch(t);
  writeFileSync(path, line(1, 'one'));
  let ended = false;
  const got: string[] = [];
  const done = (async () => {
    const request = { path, filter: { timestamps: false }, follow: true, ended: () => ended };
    for await (const block of readLog(request, clock, new AbortController().signal)) {
      got.push(
        ...block
          .toString()
          .split('\n')
          .filter((l) => l !== ''),
      );
    }
  })();
  const until = async (last: string) => {
    const deadlineMs = Date.now() + 5_000;
    while (got.at(-1) !== last) {
      if (Date.now() > deadlineMs) throw new Error(`no '${last}' after ${got.join()}`);
      await new Promise((resolve) => {
        setTimeout(resolve, 5);
      });
    }
  };
  await until('one');
  appendFileSync(path, line(2, 'two'));
  await until('two');
  appendFileSync(path, line(3, 'three'));
  renameSync(path, `${path}.old`);
  appendFileSync(`${path}.old`, line(4, 'four'));
  writeFileSync(path, line(5, 'five'));
  await until('five');
  ended = true;
  appendFileSync(path, line(6, 'six'));
  await done;
  t.same(got, ['one', 'two', 'three', 'four', 'five', 'six']);
});

await t.test('rotateLogs() keeps five files', async (t) => {
  const path = scratch(t);
  const runtime = new FakeRuntime();
  runtime.listContainers = () => [{ id: 'c', state: 'running', logPath: path } as never]; // Enough.
  const stop = new AbortController();
  let rounds = 0;
  const ticking: Clock = {
    nowMs: () => Date.parse('2026-11-23T00:00:00Z') + rounds * 1000,
    monotonicMs: () => 0,
    sleep: async () => {
      rounds++;
      if (rounds > 7) stop.abort(new Error('enough'));
      stop.signal.throwIfAborted();
      writeFileSync(path, `round ${rounds}`);
      truncateSync(path, LOG_FILE_BYTES_MAX);
    },
    deadline: (ms, parent) => clock.deadline(ms, parent),
  };
  writeFileSync(path, 'small');
  await t.rejects(rotateLogs({ runtime, clock: ticking, log: silentLog }, stop.signal), {
    message: 'enough',
  });
  t.equal(runtime.calls.filter((c) => c === 'reopenLog').length, 7);
  const names = readdirSync(join(path, '..')).toSorted();
  t.equal(names.length, 4, 'and the writer makes the fifth');
  t.match(readFileSync(join(path, '..', names[3] ?? ''), 'utf8'), /^round 7/);
});
