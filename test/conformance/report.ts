/**
 * Keeps the results of the conformance suite: results.gen.json holds the last outcome of every test ever
 * tried, CONFORMANCE.md is derived from it: a table by area, and every test with its outcome.
 */

export interface TestResult {
  readonly state: 'passed' | 'failed';
  readonly seconds: number;
  /** First line of the failure. */
  readonly message?: string;
  /** Where it ran: `dev` or `image`. */
  readonly target: string;
}

/** By `target` and full test name. */
export type Results = Record<string, TestResult>;

interface GinkgoSpec {
  readonly ContainerHierarchyTexts: readonly string[] | null;
  readonly LeafNodeText: string;
  readonly LeafNodeType: string;
  readonly State: string;
  readonly RunTime: number;
  readonly Failure?: { readonly Message?: string };
}

/** The tests that ran, out of Ginkgo's JSON report (RunTime is in nanoseconds). */
export function parseGinkgoReport(json: string, target: string): Results {
  const suites: { SpecReports: GinkgoSpec[] | null }[] = JSON.parse(json);
  const results: Results = {};
  for (const spec of suites.flatMap((suite) => suite.SpecReports ?? [])) {
    if (
      spec.LeafNodeType !== 'It' ||
      !['passed', 'failed', 'timedout', 'panicked', 'interrupted'].includes(spec.State)
    )
      continue;
    const name = [...(spec.ContainerHierarchyTexts ?? []), spec.LeafNodeText].join(' ');
    const message = spec.Failure?.Message?.split('\n')[0]?.slice(0, 200);
    results[`${target} ${name}`] = {
      state: spec.State === 'passed' ? 'passed' : 'failed',
      seconds: Math.round(spec.RunTime / 1e8) / 10,
      ...(message !== undefined && message !== '' && { message }),
      target,
    };
  }
  return results;
}

/** `[sig-storage] EmptyDir volumes should ...` lies in area `storage`. */
export function areaOf(name: string): string {
  return /\[sig-([\w-]+)\]/.exec(name)?.[1] ?? 'other';
}

/** The text of CONFORMANCE.md. */
export function formatReport(results: Results, kubernetes: string): string {
  const entries = Object.entries(results).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const sections = ['dev', 'image'].flatMap((target) => {
    const own = entries.filter(([, result]) => result.target === target);
    return own.length === 0 ? [] : [formatTarget(target, own)];
  });
  return `# Conformance

Outcome of upstream's end-to-end suite (Kubernetes v${kubernetes}, \`[Conformance]\` tests; 446 in all) as
\`make conformance\` last saw it, failures included. Made from test/conformance/results.gen.json.

${sections.join('\n')}`;
}

function formatTarget(target: string, entries: readonly [string, TestResult][]): string {
  const title = target === 'dev' ? 'On a `make dev` node' : 'On the booted image';
  const areas = [...new Set(entries.map(([name]) => areaOf(name)))].toSorted();
  const passed = (list: readonly [string, TestResult][]) =>
    list.filter(([, r]) => r.state === 'passed').length;
  const rows = areas.map((area) => {
    const own = entries.filter(([name]) => areaOf(name) === area);
    return `| ${area} | ${own.length} | ${passed(own)} | ${own.length - passed(own)} |`;
  });
  const lines = entries.map(([key, result]) => {
    const name = key.slice(target.length + 1).replaceAll('|', '\\|');
    const why = result.message === undefined ? '' : `: ${result.message.replaceAll('|', '\\|')}`;
    return `- ${result.state} (${result.seconds} s) ${name}${why}`;
  });
  return `## ${title}

| area | tried | passed | failed |
|---|---|---|---|
${rows.join('\n')}
| all | ${entries.length} | ${passed(entries)} | ${entries.length - passed(entries)} |

${lines.join('\n')}
`;
}
