/**
 * Runs the rungs of the tests, cheapest first, and closes with one line `N passed, N failed`.
 *   run.ts [RUNG...]   all rungs when none is named
 * A rung that fails, cannot run or counts nothing makes the whole fail; later rungs run all the same,
 * so that one report shows everything.
 */
import { spawn } from 'node:child_process';
import { globSync } from 'node:fs';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';

const ROOT = dirname(import.meta.dirname);

interface Rung {
  readonly name: string;
  /** Commands, each one test; or globs of tap files. */
  readonly commands?: readonly (readonly string[])[];
  readonly files?: readonly string[];
  /** Test files at the same time. */
  readonly jobs?: number;
  /** Of one file. */
  readonly timeoutSeconds?: number;
}

const NODE = [process.execPath, '--no-warnings'];

const RUNGS: readonly Rung[] = [
  {
    name: 'check',
    commands: [
      ['tsc', '-p', '.'],
      ['tsc', '-p', 'tsconfig.pure.json'],
      ['oxlint', '--type-aware', '--quiet'],
      ['biome', 'format', '.'],
      [...NODE, 'test/tidy/tidy.ts'],
      [...NODE, 'test/tidy/package-lock.ts', '--check'],
      [...NODE, 'base/protocol/generate.ts', '--check'],
      [...NODE, 'control/schema/generate/gen.ts', '--check'],
      [...NODE, 'control/store/etcd/generate.ts', '--check'],
    ],
  },
  {
    name: 'unit',
    files: [
      '{base,net,daemon,control,cli,image}/**/*.test.ts',
      'test/tidy/*.test.ts',
      'test/{dev,conformance,fuzz,mutation,sim}/*.test.ts',
    ],
    jobs: 2,
  },
  { name: 'contract', files: ['test/contract/**/*.test.ts'], jobs: 2 },
  // On a fresh machine setup.test.ts makes a Debian and fetches all of npm's packages: 5 minutes on a busy one.
  { name: 'host', files: ['test/host/*.test.ts'], jobs: 1, timeoutSeconds: 900 },
  { name: 'vm', files: ['test/vm/*.test.ts'], jobs: 1, timeoutSeconds: 1800 },
];

interface Count {
  passed: number;
  failed: number;
}

async function runRung(rung: Rung): Promise<Count> {
  const count: Count = { passed: 0, failed: 0 };
  for (const command of rung.commands ?? []) {
    const { code } = await run(command);
    if (code === 0) count.passed++;
    else {
      count.failed++;
      console.log(
        `not ok ${rung.name}: ${command.map((word) => word.replace(`${ROOT}/`, '')).join(' ')}`,
      );
    }
  }
  if (rung.files !== undefined) {
    const files = globSync(rung.files, {
      cwd: ROOT,
      exclude: ['node_modules/**', 'out/**'],
    }).toSorted();
    if (files.length > 0) {
      const command = [
        'tap',
        '--reporter=tap',
        `--jobs=${rung.jobs ?? 1}`,
        `--timeout=${rung.timeoutSeconds ?? 300}`,
        ...files,
      ];
      const { code, output } = await run(command, suiteLines());
      const total = /# \{ total: (\d+)(?:, pass: (\d+))?(?:, fail: (\d+))?(?:, skip: (\d+))?/.exec(
        output,
      );
      count.passed += Number(total?.[2] ?? 0);
      count.failed += Number(total?.[3] ?? 0);
      if (code !== 0 && count.failed === 0) count.failed++;
    }
  }
  if (count.passed + count.failed === 0) {
    console.log(`not ok ${rung.name}: counted nothing`);
    count.failed++;
  }
  return count;
}

/**
 * Shows one line for each test file, and all that a file printed when it failed. TAP indents what lies
 * inside a file and closes the file with a line at the margin.
 */
function suiteLines(): (line: string) => void {
  let held: string[] = [];
  return (line) => {
    held.push(line);
    if (line.startsWith('not ok ')) console.log(held.join('\n'));
    else if (line.startsWith('ok ')) console.log(line.replace(/ \{$/, ''));
    else if (!/^[#1]/.test(line)) return;
    held = [];
  };
}

/** Runs a command; `show` gets each line of its output. Resolves to exit code and output. */
function run(
  command: readonly string[],
  show: (line: string) => void = (line) => console.log(line),
): Promise<{ code: number; output: string }> {
  const [program, ...args] = command;
  return new Promise((resolve, reject) => {
    const child = spawn(program ?? '', args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] });
    const lines: string[] = [];
    createInterface(child.stdout).on('line', (line) => {
      lines.push(line);
      show(line);
    });
    child.once('error', reject);
    child.once('close', (code) => resolve({ code: code ?? 1, output: lines.join('\n') }));
  });
}

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !RUNGS.some((rung) => rung.name === name));
if (unknown.length > 0) throw new Error(`no rung is called ${unknown.join(', ')}`);
const sum: Count = { passed: 0, failed: 0 };
for (const rung of RUNGS) {
  if (wanted.length > 0 && !wanted.includes(rung.name)) continue;
  const startedAt = performance.now();
  console.log(`# ${rung.name}`);
  const count = await runRung(rung);
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
  console.log(`# ${rung.name}: ${count.passed} passed, ${count.failed} failed, ${seconds} s`);
  sum.passed += count.passed;
  sum.failed += count.failed;
}
console.log(`${sum.passed} passed, ${sum.failed} failed`);
process.exitCode = sum.failed === 0 ? 0 : 1;
