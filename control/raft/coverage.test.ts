/**
 * Every known bug of the core has its named test (known-bugs.ts), and every scenario topic of
 * etcd-io/raft its scenario here.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { KNOWN_BUGS } from './known-bugs.ts';

const HERE = import.meta.dirname;

/** Files of testdata/, by folder. Other files there are this project's own. */
const TOPICS: Readonly<Record<'group' | 'change' | 'quorum', readonly string[]>> = {
  group: [
    'async-storage-writes',
    'async-storage-writes-append-aba-race',
    'campaign',
    'campaign-learner-must-vote',
    'checkquorum',
    'confchange-disable-validation',
    'confchange-v1-add-single',
    'confchange-v1-remove-leader',
    'confchange-v1-remove-leader-stepdown',
    'confchange-v2-add-double-auto',
    'confchange-v2-add-double-implicit',
    'confchange-v2-add-single-auto',
    'confchange-v2-add-single-explicit',
    'confchange-v2-replace-leader',
    'confchange-v2-replace-leader-stepdown',
    'forget-leader',
    'forget-leader-prevote-checkquorum',
    'forget-leader-read-only-lease-based',
    'heartbeat-resp-recovers-from-probing',
    'lagging-commit',
    'prevote',
    'prevote-checkquorum',
    'probe-and-replicate',
    'replicate-pause',
    'single-node',
    'slow-follower-after-compaction',
    'snapshot-succeed-via-app-resp',
    'snapshot-succeed-via-app-resp-behind',
  ],
  change: [
    'joint-autoleave',
    'joint-idempotency',
    'joint-learners-next',
    'joint-safety',
    'simple-idempotency',
    'simple-promote-demote',
    'simple-safety',
    'update',
    'zero',
  ],
  quorum: ['joint-commit', 'joint-vote', 'majority-commit', 'majority-vote'],
};

t.test('known bugs of the core have a test of their name', (t) => {
  const files = readdirSync(HERE).filter((name) => /^bugs-.*\.test\.ts$/.test(name));
  const text = files.map((name) => readFileSync(join(HERE, name), 'utf8')).join('\n');
  t.equal(Object.keys(KNOWN_BUGS).length, 26);
  for (const [number, { what, places }] of Object.entries(KNOWN_BUGS)) {
    const isTested = text.includes(`'raft bug ${number}: `);
    t.equal(isTested, places.includes('core'), `${number}: ${what}`);
  }
  t.end();
});

t.test('topics have a scenario that shows something', (t) => {
  t.equal(Object.values(TOPICS).flat().length, 41);
  for (const [folder, names] of Object.entries(TOPICS)) {
    for (const name of names) {
      const text = readFileSync(join(HERE, 'testdata', folder, `${name}.txt`), 'utf8');
      t.match(text, /^ {2}\S/m, name);
    }
  }
  t.end();
});
