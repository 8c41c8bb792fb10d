/** Requests on their way to whoever leads. */
import t from 'tap';
import { REQUEST_TICKS_MAX } from '../limits.ts';
import { LeaderCalls } from './leader-calls.ts';
import type { Outcome } from './leader-calls.ts';
import { ASK } from './peers.ts';

function calls() {
  const net = { isUp: true, sent: [] as number[] };
  const made = new LeaderCalls({
    memberId: 1,
    firstId: 100,
    send: (to) => {
      if (net.isUp) net.sent.push(to);
      return net.isUp;
    },
  });
  const outcomes: Outcome[] = [];
  const ask = () => made.ask(ASK.propose, new Uint8Array(1), (outcome) => outcomes.push(outcome));
  return { net, made, outcomes, ask };
}

t.test('what could not leave is sent with a later tick', (t) => {
  const { net, made, outcomes, ask } = calls();
  made.leads(2, 5);
  net.isUp = false;
  ask();
  made.tick();
  t.same(net.sent, []);
  net.isUp = true;
  made.tick();
  t.same(net.sent, [2]);
  made.answered(2, 100, { result: 'value', value: 7 });
  t.match(outcomes, [{ result: 'value', value: 7 }]);
  t.end();
});

t.test('what never left is refused for certain, what left is lost', (t) => {
  const { net, made, outcomes, ask } = calls();
  made.leads(2, 5);
  ask();
  net.isUp = false;
  ask();
  for (let i = 0; i < REQUEST_TICKS_MAX; i++) made.tick();
  t.match(outcomes, [{ result: 'lost' }, { result: 'refused', error: { code: 'UNAVAILABLE' } }]);
  t.end();
});

t.test('what was sent to a leader that is gone is lost, what was held goes to the next', (t) => {
  const { net, made, outcomes, ask } = calls();
  made.leads(2, 5);
  ask();
  net.isUp = false;
  ask();
  net.isUp = true;
  made.leads(3, 6);
  t.match(outcomes, [{ result: 'lost' }]);
  t.same(net.sent, [2, 3]);
  made.leads(1, 7);
  t.match(outcomes, [{ result: 'lost' }, { result: 'lost' }]);
  t.end();
});

t.test('what was sent to a leader is lost when it leads again, in another term', (t) => {
  const { net, made, outcomes, ask } = calls();
  made.leads(2, 5);
  ask();
  made.leads(2, 5);
  t.same(outcomes, []);
  made.leads(2, 6);
  t.match(outcomes, [{ result: 'lost' }]);
  ask();
  t.same(net.sent, [2, 2]);
  t.end();
});
