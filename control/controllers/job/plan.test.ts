import t from 'tap';
import type { Job, JobSpec, JobStatus } from '#base/kube/api/batch-v1.gen.ts';
import type { Pod } from '#base/kube/api/core-v1.gen.ts';
import { ago, meta, NOW_MS, pod } from '../testing/objects.ts';
import { countIndexes, firstFree, formatIndexes, parseIndexes } from './indexes.ts';
import {
  backoffLeftMs,
  planCompletion,
  planFailureRecord,
  planPods,
  planTracking,
  planVerdict,
  settleUncounted,
} from './plan.ts';
import { judgeFailure, judgeSuccess } from './policy.ts';
import { expiryMs } from './ttl.ts';
import { TRACKING_FINALIZER, viewJob } from './view.ts';

const job = (spec: Partial<JobSpec>, status: JobStatus = {}): Job => ({
  apiVersion: 'batch/v1',
  kind: 'Job',
  metadata: meta('j'),
  spec: {
    backoffLimit: 6,
    template: { spec: { containers: [], restartPolicy: 'Never' } },
    ...spec,
  },
  status,
});

interface PodOptions {
  readonly phase?: string;
  readonly index?: number;
  readonly exit?: number;
  readonly deleting?: boolean;
  readonly failures?: number;
  readonly tracked?: boolean;
}
const child = (name: string, options: PodOptions = {}): Pod => {
  const { phase = 'Running', index, exit, deleting, failures, tracked = true } = options;
  const annotations = {
    ...(index === undefined ? {} : { 'batch.kubernetes.io/job-completion-index': String(index) }),
    ...(failures === undefined
      ? {}
      : { 'batch.kubernetes.io/job-index-failure-count': String(failures) }),
  };
  const terminated = { exitCode: exit ?? 0, finishedAt: ago(5) };
  return pod(name, {
    meta: {
      annotations,
      ...(tracked ? { finalizers: [TRACKING_FINALIZER] } : {}),
      ...(deleting === true ? { deletionTimestamp: ago(0) } : {}),
    },
    status: {
      phase,
      ...(exit === undefined
        ? {}
        : {
            containerStatuses: [
              {
                name: 'c',
                image: '',
                imageID: '',
                ready: false,
                restartCount: 0,
                state: { terminated },
              },
            ],
          }),
    },
  });
};
const none: ReadonlySet<string> = new Set();
const view = (of: Job, pods: readonly Pod[]) => viewJob(of, pods, none);
const record = { count: 0, lastMs: 0 };

t.test('indexes in text', async (t) => {
  const rows = [
    ['', ''],
    ['0', '0'],
    ['0,1', '0,1'],
    ['0-2', '0-2'],
    ['1,3-5,7,8', '1,3-5,7,8'],
    ['8-20', '8,9'],
    ['x,2', '2'],
  ];
  for (const [text, want] of rows) t.equal(formatIndexes(parseIndexes(text, 10)), want, `${text}`);
  t.same(firstFree(3, 10, [new Set([0, 2]), new Set([3])]), [1, 4, 5]);
  t.same(firstFree(3, 2, [new Set([0])]), [1]);
});

t.test('planPods()', async (t) => {
  const create = (spec: Partial<JobSpec>, pods: Pod[], status: JobStatus = {}) =>
    planPods(view(job(spec, status), pods), record, NOW_MS).create;
  t.equal(create({ parallelism: 3, completions: 5 }, []).length, 3);
  t.equal(create({ parallelism: 3, completions: 5 }, [child('a')], { succeeded: 3 }).length, 1);
  t.equal(create({ parallelism: 2 }, [child('a')]).length, 1, 'no completions: as many as allowed');
  t.equal(
    create({ parallelism: 2 }, [child('a', { phase: 'Succeeded' })]).length,
    0,
    'until one succeeds',
  );
  t.same(
    create({ parallelism: 2, completions: 4, completionMode: 'Indexed' }, [
      child('a', { index: 0 }),
    ]),
    [1],
  );
  t.same(
    create({ parallelism: 3, completions: 4, completionMode: 'Indexed' }, [], {
      completedIndexes: '0,2',
    }),
    [1, 3],
  );
  const remove = (spec: Partial<JobSpec>, pods: Pod[]) =>
    planPods(view(job(spec), pods), record, NOW_MS).remove.map((p) => p.metadata.name);
  t.same(remove({ parallelism: 1, completions: 5 }, [child('a'), child('b')]).length, 1);
  t.same(remove({ suspend: true, parallelism: 1 }, [child('a')]), ['a']);
  t.same(
    remove({ parallelism: 3, completions: 3, completionMode: 'Indexed' }, [
      child('a', { index: 0 }),
      child('twice', { index: 0 }),
      child('outside', { index: 7 }),
    ]),
    ['twice', 'outside'],
  );
  const replaced = [child('a', { deleting: true })];
  t.equal(create({ parallelism: 1, completions: 1 }, replaced).length, 1, 'replaces at once');
  t.equal(
    create({ parallelism: 1, completions: 1, podReplacementPolicy: 'Failed' }, replaced).length,
    0,
  );
});

t.test('back-off after failures', async (t) => {
  const failed = view(job({}), [
    child('a', { phase: 'Failed', exit: 1 }),
    child('b', { phase: 'Failed', exit: 1 }),
  ]);
  const after = planFailureRecord(failed, record);
  t.same(after, { count: 2, lastMs: NOW_MS - 5_000 });
  t.equal(backoffLeftMs(after, NOW_MS), 15_000, '20 s from the last failure');
  t.equal(planPods(view(job({ completions: 1 }), []), after, NOW_MS).waitMs, 15_000);
  const good = view(job({}), [child('c', { phase: 'Succeeded', exit: 0 })]);
  t.equal(planFailureRecord(good, after).count, 0, 'a success ends it');
  t.equal(backoffLeftMs({ count: 30, lastMs: NOW_MS }, NOW_MS), 600_000);
});

t.test('planVerdict()', async (t) => {
  const reason = (of: Job, pods: Pod[]) => planVerdict(view(of, pods), NOW_MS)?.reason;
  const failed = child('f', { phase: 'Failed', exit: 3 });
  t.equal(reason(job({ backoffLimit: 0 }), [failed]), 'BackoffLimitExceeded');
  t.equal(reason(job({ backoffLimit: 1 }), [failed]), undefined);
  t.equal(reason(job({ backoffLimit: 2 }, { failed: 2 }), [failed]), 'BackoffLimitExceeded');
  const deadline = { activeDeadlineSeconds: 10 };
  t.equal(reason(job(deadline, { startTime: ago(11) }), []), 'DeadlineExceeded');
  t.equal(reason(job(deadline, { startTime: ago(9) }), []), undefined);
  t.equal(reason(job({ ...deadline, suspend: true }, { startTime: ago(11) }), []), undefined);
  const policy = (action: string) => ({
    podFailurePolicy: { rules: [{ action, onExitCodes: { operator: 'In', values: [3] } }] },
  });
  t.equal(reason(job(policy('FailJob')), [failed]), 'PodFailurePolicy');
  t.equal(reason(job({ ...policy('Ignore'), backoffLimit: 0 }), [failed]), undefined);
  const perIndex = {
    completionMode: 'Indexed',
    completions: 2,
    backoffLimitPerIndex: 1,
    backoffLimit: 99,
  };
  const twice = child('f', { phase: 'Failed', index: 0, failures: 1 });
  t.equal(reason(job(perIndex), [twice]), undefined, 'one index left');
  t.equal(reason(job(perIndex, { completedIndexes: '1' }), [twice]), 'FailedIndexes');
  t.equal(reason(job({ ...perIndex, maxFailedIndexes: 0 }), [twice]), 'MaxFailedIndexesExceeded');
  const successPolicy = { rules: [{ succeededIndexes: '0' }] };
  const indexed = { completionMode: 'Indexed', completions: 3, successPolicy };
  t.equal(reason(job(indexed, { completedIndexes: '0' }), []), 'SuccessPolicy');
  t.equal(reason(job(indexed, { completedIndexes: '1' }), []), undefined);
  const bound = { conditions: [{ type: 'FailureTarget', status: 'True', reason: 'Because' }] };
  t.equal(reason(job({}, bound), []), 'Because', 'a decision stands');
});

t.test('planCompletion()', async (t) => {
  const done = (spec: Partial<JobSpec>, status: JobStatus, active: number) =>
    planCompletion(view(job(spec, status), []), active) !== undefined;
  t.equal(done({ completions: 2 }, { succeeded: 2 }, 0), true);
  t.equal(done({ completions: 2 }, { succeeded: 2 }, 1), false);
  t.equal(done({ completions: 2 }, { succeeded: 1 }, 0), false);
  t.equal(done({}, { succeeded: 1 }, 0), true);
  t.equal(done({}, {}, 0), false);
});

t.test('planTracking() counts each pod once, whatever is interrupted', async (t) => {
  const of = job({ completions: 3 });
  const pods = [child('s', { phase: 'Succeeded' }), child('f', { phase: 'Failed' }), child('r')];
  const first = planTracking(view(of, pods), {}, undefined, none);
  t.same(
    first.release.map((p) => p.metadata.name),
    ['s', 'f'],
  );
  t.same(first.status.uncountedTerminatedPods, { succeeded: ['uid-s'], failed: ['uid-f'] });
  t.equal(view({ ...of, status: first.status }, pods).succeeded, 1, 'still one');
  const again = planTracking(
    view({ ...of, status: first.status }, pods),
    first.status,
    undefined,
    none,
  );
  t.same(again.status.uncountedTerminatedPods, first.status.uncountedTerminatedPods, 'not twice');
  const settled = settleUncounted(first.status, pods, new Set(['uid-s']));
  t.same([settled.succeeded, settled.failed], [1, 0]);
  t.same(settled.uncountedTerminatedPods, { succeeded: [], failed: ['uid-f'] });
  const removed = viewJob({ ...of, status: settled }, pods, new Set(['uid-s']));
  t.same([removed.succeeded, removed.failed], [1, 1]);
});

t.test('planTracking() of an indexed Job', async (t) => {
  const of = job(
    { completions: 4, completionMode: 'Indexed' },
    { completedIndexes: '0', succeeded: 1 },
  );
  const pods = [
    child('a', { phase: 'Succeeded', index: 1 }),
    child('b', { phase: 'Succeeded', index: 1 }),
    child('c', { phase: 'Succeeded', index: 9 }),
  ];
  const { status, release } = planTracking(view(of, pods), of.status, undefined, none);
  t.same([status.completedIndexes, status.succeeded, release.length], ['0,1', 2, 3]);
});

t.test('countIndexes() counts by ranges', async (t) => {
  const count = (text: string, completions = 10) =>
    countIndexes(text, completions, new Set([7, 1, 4]));
  t.same(count('0-4,6-8'), { total: 8, found: 3 });
  t.same(count('5-6,9'), { total: 3, found: 0 });
  t.same(count('4-20'), { total: 6, found: 2 });
  t.same(count('x,,11'), { total: 0, found: 0 });
  const all = 2 ** 31 - 1;
  t.same(count(`0-${all - 1}`, all), { total: all, found: 3 }, 'without naming them one by one');
});

t.test('judgeFailure() and judgeSuccess()', async (t) => {
  const failed = child('p', { phase: 'Failed', exit: 42 });
  failed.status = {
    ...failed.status,
    conditions: [{ type: 'DisruptionTarget', status: 'True' }],
  };
  const rules = [
    { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
    { action: 'FailJob', onExitCodes: { operator: 'NotIn', values: [1] } },
  ];
  t.equal(judgeFailure({ rules }, failed).action, 'Ignore', 'the first rule counts');
  const second = judgeFailure({ rules: rules.slice(1) }, failed);
  t.equal(
    second.message,
    'Container c for pod ns/p failed with exit code 42 matching FailJob rule at index 0',
  );
  t.equal(judgeFailure(undefined, failed).action, undefined);
  const spec = (rule: object) => job({ completions: 5, successPolicy: { rules: [rule] } }).spec;
  t.equal(judgeSuccess(spec({ succeededCount: 2 }), new Set([1, 4])), 'Matched rules at index 0');
  t.equal(
    judgeSuccess(spec({ succeededIndexes: '0-2', succeededCount: 2 }), new Set([1, 4])),
    undefined,
  );
  t.ok(judgeSuccess(spec({ succeededIndexes: '0-2', succeededCount: 1 }), new Set([1, 4])));
});

t.test('expiryMs()', async (t) => {
  const conditions = [{ type: 'Complete', status: 'True', lastTransitionTime: ago(10) }];
  t.equal(expiryMs(job({ ttlSecondsAfterFinished: 60 }, { conditions })), NOW_MS + 50_000);
  t.equal(expiryMs(job({ ttlSecondsAfterFinished: 60 })), undefined);
  t.equal(expiryMs(job({}, { conditions })), undefined);
});
