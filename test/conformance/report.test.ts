import t from 'tap';
import { areaOf, formatReport, parseGinkgoReport } from './report.ts';

const spec = (leaf: string, state: string, extra: object = {}) => ({
  ContainerHierarchyTexts: ['[sig-storage] EmptyDir volumes'],
  LeafNodeText: leaf,
  LeafNodeType: 'It',
  State: state,
  RunTime: 4_420_000_000,
  ...extra,
});

t.test('parseGinkgoReport() keeps tests that ran, and the first line of a failure', async (t) => {
  const json = JSON.stringify([
    {
      SpecReports: [
        spec('a', 'passed'),
        spec('b', 'failed', { Failure: { Message: 'timed out\nmore' } }),
        spec('c', 'skipped'),
        { ...spec('d', 'passed'), LeafNodeType: 'BeforeSuite' },
      ],
    },
  ]);
  t.same(parseGinkgoReport(json, 'dev'), {
    'dev [sig-storage] EmptyDir volumes a': { state: 'passed', seconds: 4.4, target: 'dev' },
    'dev [sig-storage] EmptyDir volumes b': {
      state: 'failed',
      seconds: 4.4,
      message: 'timed out',
      target: 'dev',
    },
  });
});

t.test('formatReport() counts by area and lists failures', async (t) => {
  const text = formatReport(
    {
      'dev [sig-node] Pods a': { state: 'passed', seconds: 1, target: 'dev' },
      'dev [sig-node] Pods b': { state: 'failed', seconds: 2, message: 'x | y', target: 'dev' },
      'image [sig-apps] Job c': { state: 'passed', seconds: 3, target: 'image' },
    },
    '1.36.3',
  );
  t.match(text, /\| node \| 2 \| 1 \| 1 \|/);
  t.match(text, /- failed \(2 s\) \[sig-node\] Pods b: x \\\| y/);
  t.match(text, /## On the booted image[\s\S]*\| apps \| 1 \| 1 \| 0 \|/);
  t.equal(areaOf('[sig-api-machinery] Watchers'), 'api-machinery');
});
