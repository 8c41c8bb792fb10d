import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import t from 'tap';
import type { Pod } from '#base/kube/api/core-v1.gen.ts';
import { fieldErrorCauses, FieldErrors } from '../resources/field-errors.ts';
import { formatLevel, policyOf } from './levels.ts';
import { judge } from './pod-security.ts';

interface Recorded {
  readonly source: string;
  readonly pods: readonly {
    readonly pod: Pod;
    /** What is forbidden from that version on, until the next. */
    readonly baseline: readonly { readonly minor: number; readonly details: string }[];
    readonly restricted: readonly { readonly minor: number; readonly details: string }[];
  }[];
}

const file = new URL('./recorded.gen.json.gz', import.meta.url);
const { pods } = JSON.parse(gunzipSync(readFileSync(file)).toString()) as Recorded; // By record.ts.
const LAST_MINOR = 36;

t.test('judge() of upstream’s test pods at every version', async (t) => {
  let refused = 0;
  for (const { pod, ...recorded } of pods) {
    for (const level of ['baseline', 'restricted'] as const) {
      const changes = recorded[level];
      for (let minor = 0; minor <= LAST_MINOR; minor++) {
        const { details = '' } = changes.findLast((change) => change.minor <= minor) ?? {};
        const got = judge({ level, minor }, pod).details;
        if (details !== '') refused++;
        if (got !== details) t.equal(got, details, `${pod.metadata.name} ${level} v1.${minor}`);
      }
      const latest = judge({ level, minor: Infinity }, pod).details;
      t.equal(latest, changes.at(-1)?.details, `${pod.metadata.name} ${level}`);
    }
    t.equal(judge({ level: 'privileged', minor: Infinity }, pod).details, '');
  }
  t.ok(pods.length > 350 && refused > 5000, `${pods.length} pods, refused ${refused} times`);
});

const P = 'pod-security.kubernetes.io/';
const rows = [
  { labels: undefined, want: 'privileged:latest privileged:latest privileged:latest' },
  {
    labels: { [`${P}enforce`]: 'baseline', [`${P}enforce-version`]: 'v1.24' },
    want: 'baseline:v1.24 privileged:latest baseline:v1.24',
  },
  {
    labels: { [`${P}enforce`]: 'baseline', [`${P}warn-version`]: 'v1.30' },
    want: 'baseline:latest privileged:latest baseline:v1.30',
  },
  {
    labels: {
      [`${P}enforce`]: 'restricted',
      [`${P}warn`]: 'privileged',
      [`${P}audit`]: 'baseline',
    },
    want: 'restricted:latest baseline:latest privileged:latest',
  },
  {
    labels: { [`${P}enforce`]: 'strict', [`${P}warn`]: 'x', [`${P}audit-version`]: '1.2' },
    want: 'restricted:latest privileged:latest privileged:latest',
    errors: [
      `metadata.labels[${P}enforce]: Invalid value: "strict": must be one of privileged, baseline, restricted`,
      `metadata.labels[${P}audit-version]: Invalid value: "1.2": must be "latest" or "v1.x"`,
      `metadata.labels[${P}warn]: Invalid value: "x": must be one of privileged, baseline, restricted`,
    ],
  },
  {
    labels: { [`${P}enforce-version`]: 'v1.024' },
    want: 'privileged:latest privileged:latest privileged:latest',
    errors: [
      `metadata.labels[${P}enforce-version]: Invalid value: "v1.024": must be "latest" or "v1.x"`,
    ],
  },
];

for (const { labels, want, errors = [] } of rows) {
  t.test(`policyOf() ${JSON.stringify(labels)}`, async (t) => {
    const found = new FieldErrors();
    const { enforce, audit, warn } = policyOf(labels, found);
    t.equal([enforce, audit, warn].map(formatLevel).join(' '), want);
    const causes = fieldErrorCauses(found.list);
    t.same(
      causes.map(({ field, message }) => `${field}: ${message}`),
      errors,
    );
  });
}
