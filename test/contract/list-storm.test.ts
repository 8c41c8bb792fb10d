/** A share of the storm of lists; list-storm.ts runs it for minutes. */
import t from 'tap';
import { storm } from './list-storm.ts';

t.test('a storm of lists ends nobody', { timeout: 120_000 }, async (t) => {
  const report = await storm(10_000);
  t.comment(JSON.stringify(report));
  t.ok((report.lists[200] ?? 0) > 0, 'lists are answered');
  t.ok((report.lists[429] ?? 0) > 0, 'too many are refused');
  t.ok(report.writes > 0, 'small writes come through');
  t.equal(report.leaderChanges, 0);
});
