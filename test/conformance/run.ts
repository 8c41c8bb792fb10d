/**
 * `make conformance FOCUS=regex`: runs upstream's e2e suite against a node and records each test.
 *   run.ts --focus REGEX [--skip REGEX] [--kubeconfig FILE --target image] [--keep]
 * Without a kubeconfig a development node of this checkout is started with the test images, and ended
 * afterwards unless --keep is given.
 */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { formatReport, parseGinkgoReport, type Results } from './report.ts';
import { buildImages, ensureProgram, KUBERNETES_VERSION } from './upstream.ts';

const ROOT = dirname(dirname(import.meta.dirname));
const RESULTS = join(import.meta.dirname, 'results.gen.json');

const { values } = parseArgs({
  options: {
    focus: { type: 'string', default: '' },
    skip: { type: 'string', default: '' },
    kubeconfig: { type: 'string' },
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

let kubeconfig = values.kubeconfig === undefined ? undefined : resolve(values.kubeconfig);
if (kubeconfig === undefined) {
  execFileSync(node[0] ?? '', [...node.slice(1), join(ROOT, 'image/make-root.ts')], {
    stdio: 'inherit',
  });
  const images = await buildImages(join(ROOT, 'out/images'));
  launch('up', ...images.flatMap((image) => ['--image', image]));
  kubeconfig = join(ROOT, 'out/dev/kubeconfig');
}
const report = join(out, 'report.json');
const focus = values.focus === '' ? '\\[Conformance\\]' : `${values.focus}.*\\[Conformance\\]`;
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
if (values.kubeconfig === undefined && !values.keep) launch('down');
process.exitCode = code;
