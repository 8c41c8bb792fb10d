/**
 * `make conformance FOCUS=regex`: runs upstream's e2e suite against a node and records each test.
 *   run.ts --focus REGEX [--skip REGEX] [--target dev|image] [--keep]
 * On target dev a development node of this checkout is started with the test images, and ended
 * afterwards unless --keep is given. Target image is the machine of `make run`, which goes on running.
 */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { formatReport, parseGinkgoReport, type Results } from './report.ts';
import { buildImages, ensureProgram, KUBERNETES_VERSION } from './upstream.ts';

const ROOT = dirname(dirname(import.meta.dirname));
const RESULTS = join(import.meta.dirname, 'results.gen.json');

const { values } = parseArgs({
  options: {
    focus: { type: 'string', default: '' },
    skip: { type: 'string', default: '' },
    target: { type: 'string', default: 'dev' },
    keep: { type: 'boolean', default: false },
    timeout: { type: 'string', default: '2h' },
  },
});
const suite = ensureProgram('e2e.test');
const out = join(ROOT, 'out/conformance');
mkdirSync(out, { recursive: true });
const node = [process.execPath, '--no-warnings'];
const launch = (...args: string[]) =>
  execFileSync(node[0] ?? '', [...node.slice(1), join(ROOT, 'test/dev/launch.ts'), ...args], {
    stdio: 'inherit',
  });

const isDev = values.target === 'dev';
if (!isDev && values.target !== 'image')
  throw new Error(`--target ${values.target}: expected dev or image`);
const images = await buildImages(join(ROOT, 'out/images'));
if (isDev) {
  execFileSync(node[0] ?? '', [...node.slice(1), join(ROOT, 'image/make-root.ts')], {
    stdio: 'inherit',
  });
  launch('up', ...images.flatMap(({ path }) => ['--image', path]));
} else {
  const bareboat = (...args: string[]) =>
    execFileSync(join(ROOT, 'bareboat'), ['--config', join(ROOT, 'out/bareboat.yaml'), ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
      encoding: 'utf8',
    });
  const listed: { tags: string[] }[] = JSON.parse(bareboat('image', 'list', '-o', 'json'));
  const known = new Set(listed.flatMap(({ tags }) => tags));
  for (const { path, names } of images) {
    if (!names.every((name) => known.has(name))) bareboat('image', 'import', path);
  }
}
const kubeconfig = join(ROOT, isDev ? 'out/dev/kubeconfig' : 'out/kubeconfig');
const report = join(out, 'report.json');
const focus = values.focus === '' ? '\\[Conformance\\]' : `(${values.focus}).*\\[Conformance\\]`;
const code = await new Promise<number>((resolve, reject) => {
  const child = spawn(
    suite,
    [
      '--provider=local',
      `--kubeconfig=${kubeconfig}`,
      `--ginkgo.focus=${focus}`,
      ...(values.skip === '' ? [] : [`--ginkgo.skip=${values.skip}`]),
      `--ginkgo.json-report=${report}`,
      `--ginkgo.timeout=${values.timeout}`,
      '--ginkgo.no-color',
      '--num-nodes=1',
    ],
    { stdio: 'inherit', cwd: out },
  );
  child.once('error', reject);
  child.once('close', (exit) => resolve(exit ?? 1));
});
const known: Results = existsSync(RESULTS) ? JSON.parse(readFileSync(RESULTS, 'utf8')) : {};
const fresh = parseGinkgoReport(readFileSync(report, 'utf8'), values.target);
const merged = Object.fromEntries(
  Object.entries({ ...known, ...fresh }).toSorted(([a], [b]) => (a < b ? -1 : 1)),
);
writeFileSync(RESULTS, `${JSON.stringify(merged, null, 1)}\n`);
writeFileSync(join(ROOT, 'CONFORMANCE.md'), formatReport(merged, KUBERNETES_VERSION));
const passed = Object.values(fresh).filter((result) => result.state === 'passed').length;
console.log(`conformance: ${passed} of ${Object.keys(fresh).length} passed; see CONFORMANCE.md`);
if (isDev && !values.keep) launch('down');
process.exitCode = code;
