import { must } from '#base/assert.ts';
import t from 'tap';
import { Leases } from './leases.ts';
import { Lessor } from './lessor.ts';
import type { LessorTick } from './lessor.ts';

const ELECTION_MS = 1000;

function lead(): { leases: Leases; lessor: Lessor } {
  const leases = new Leases();
  const lessor = new Lessor({ leases }, ELECTION_MS);
  lessor.lead(1, 0);
  return { leases, lessor };
}

function revoked({ revoke }: LessorTick): number[] {
  return revoke.map(({ id }) => id);
}

t.test('a lease runs out after its ttl and not before', (t) => {
  const { leases, lessor } = lead();
  leases.grant(7, 10);
  t.same(revoked(lessor.tick(100)), [], 'seen for the first time');
  t.same(revoked(lessor.tick(10_099)), []);
  t.same(revoked(lessor.tick(10_100)), [7]);
  t.end();
});

t.test('renewing starts the ttl over, until a revocation is proposed', (t) => {
  const { leases, lessor } = lead();
  leases.grant(7, 10);
  lessor.tick(0);
  t.equal(lessor.renew(7, 9000)?.ttlSeconds, 10);
  t.same(revoked(lessor.tick(18_999)), []);
  t.same(revoked(lessor.tick(19_000)), [7]);
  lessor.revoking(must(leases.get(7), 'a lease'), 19_000);
  t.equal(lessor.renew(7, 19_001), undefined);
  t.same(revoked(lessor.tick(19_100)), [], 'once is enough');
  t.same(revoked(lessor.tick(29_001)), [7], 'unless it got lost');
  leases.remove(7);
  t.equal(lessor.renew(7, 30_000), undefined);
  t.end();
});

t.test('a new leader goes on with what is left, plus an election', (t) => {
  const { leases, lessor } = lead();
  leases.grant(7, 100, { remainingMs: 30_000 });
  lessor.lead(2, 0);
  t.same(revoked(lessor.tick(30_999)), []);
  t.same(revoked(lessor.tick(31_000)), [7]);
  t.end();
});

t.test('the log learns each minute what is left', (t) => {
  const { leases, lessor } = lead();
  leases.grant(7, 1000);
  t.same(lessor.tick(0).checkpoint, []);
  t.same(lessor.tick(10_000).checkpoint, [{ id: 7, remainingMs: 990_000 }], 'soon at first');
  leases.setRemaining(7, 990_000, true);
  t.same(lessor.tick(69_999).checkpoint, []);
  t.same(lessor.tick(70_000).checkpoint, [{ id: 7, remainingMs: 930_000 }]);
  t.same(lessor.tick(70_001).checkpoint, []);
  t.end();
});
