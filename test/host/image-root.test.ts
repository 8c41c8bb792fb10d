/**
 * The root tree of the image: nothing in it can be run that is not listed, there is no shell and no
 * package manager, and its Node runs there with what was left of its locale data. Needs root.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';
import t from 'tap';
import {
  ARCHITECTURE_NAMES,
  findExecutables,
  judgeExecutables,
  parseExecutables,
} from '#image/root/executables.ts';

if (process.getuid?.() !== 0) {
  t.plan(0, 'unpacking the build root and chroot need root');
  process.exit(0);
}
t.setTimeout(280_000);

const checkout = dirname(dirname(import.meta.dirname));
const root = join(checkout, 'out/root');

t.before(() => {
  execFileSync(process.execPath, ['--no-warnings', join(checkout, 'image/make-root.ts')]);
});

t.test('holds the listed executables and no other', async (t) => {
  const text = readFileSync(join(checkout, 'image/root/executables.txt'), 'utf8');
  const listed = parseExecutables(text, ARCHITECTURE_NAMES[process.arch] ?? {});
  t.same(judgeExecutables(findExecutables(root), listed), []);
});

/** What `script` prints, run by the tree's own Node with the tree as its root. */
function runInRoot(script: string): unknown {
  const program = ['/usr/bin/node', '-p', `JSON.stringify(${script})`];
  // Without the NODE_OPTIONS of the test runner, which names files that the tree has not.
  const output = execFileSync('/usr/bin/env', ['-i', '/usr/sbin/chroot', root, ...program], {
    encoding: 'utf8',
  });
  return JSON.parse(output);
}

const scripts = [
  ['process.version', process.version],
  ["new Date(0).toLocaleString('en-US', { timeZone: 'Asia/Tokyo' })", '1/1/1970, 9:00:00 AM'],
  [
    "new Intl.DateTimeFormat('en', { timeZone: 'Europe/Berlin' }).resolvedOptions().timeZone",
    'Europe/Berlin',
  ],
  [
    "(() => { try { new Intl.DateTimeFormat('en', { timeZone: 'No/Where' }); } catch (e) { return e.name; } })()",
    'RangeError',
  ],
  ["new Intl.DateTimeFormat('de').format(0) !== ''", true],
  ["'\\u00e9'.normalize('NFD').length", 2],
  ["'\\ufb01'.normalize('NFKC')", 'fi'],
  ["['b', '\\u00e4', 'a'].sort(new Intl.Collator('en').compare).join('')", 'a\u00e4b'],
  ["new TextDecoder('utf-16le').decode(Uint8Array.of(104, 0, 105, 0))", 'hi'],
  ["new URL('http://b\\u00fccher.example').hostname", 'xn--bcher-kva.example'],
  ['/^\\p{L}+$/u.test("\\u00e4\\u03b1")', true],
  ["Temporal.Instant.fromEpochMilliseconds(0).toZonedDateTimeISO('America/New_York').hour", 19],
] as const;
for (const [script, expected] of scripts) {
  t.test(`its Node evaluates ${script}`, async (t) => {
    t.same(runInRoot(script), expected);
  });
}

/** The times that annotations of Jobs show must not depend on the languages of the machine that tests. */
t.test('its Node writes times in the zone of a CronJob', async (t) => {
  const { outputFiles } = await build({
    entryPoints: [join(checkout, 'control/controllers/cronjob/schedule.ts')],
    bundle: true,
    format: 'iife',
    globalName: 'schedule',
    platform: 'node',
    write: false,
  });
  const zones = ['UTC', 'America/New_York', 'Asia/Kolkata', 'Pacific/Kiritimati'];
  const times = 'return zones.map((zone) => schedule.timeIn(1795788306000, zone))';
  const body = JSON.stringify(`${outputFiles[0]?.text}; ${times}`);
  t.same(runInRoot(`new Function('zones', ${body})(${JSON.stringify(zones)})`), [
    '2026-11-27T14:05:06Z',
    '2026-11-27T09:05:06-05:00',
    '2026-11-27T19:35:06+05:30',
    '2026-11-28T04:05:06+14:00',
  ]);
});
