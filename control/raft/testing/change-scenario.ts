/**
 * Text scenarios over configurations alone, without a log: testdata/change. Each file starts with
 * nobody; a command gives the configuration that follows, or why there is none.
 *
 *   simple WORD...         directly: v4 adds voter 4, l4 learner 4, r4 removes 4
 *   auto WORD...           directly, or joint if it must be
 *   joint WORD...          into a joint configuration that is left by itself
 *   jointExplicit WORD...  into one that is not
 *   leave                  out of it
 */
import { assert } from '#base/assert.ts';
import { NO_MEMBERS, planChange, planLeave } from '../members.ts';
import type { MemberChange, Transition } from '../members.ts';
import type { Members } from '../types.ts';
import { showMembers } from './member.ts';

const TRANSITIONS = ['auto', 'simple', 'joint', 'jointExplicit'] as const;
const KINDS = { v: 'addVoter', l: 'addLearner', r: 'remove' } as const;

/** `jointExplicit v4 r1`; the transition may be left out. */
export function parseChange(words: readonly string[]): {
  transition: Transition;
  changes: MemberChange[];
} {
  const transition = TRANSITIONS.find((name) => name === words[0]);
  const rest = transition === undefined ? words : words.slice(1);
  const changes = rest.map((word) => {
    const match = /^([vlr])(\d+)$/.exec(word);
    assert(match !== null, `${word} is a change`);
    return { kind: KINDS[match[1] as keyof typeof KINDS], id: Number(match[2]) }; // Matched.
  });
  return { transition: transition ?? 'auto', changes };
}

export class ChangeScenario {
  #members: Members = NO_MEMBERS;

  run(command: string): string[] {
    const words = command.split(' ');
    const { transition, changes } = parseChange(words[0] === 'leave' ? [] : words);
    const next =
      words[0] === 'leave'
        ? planLeave(this.#members)
        : planChange(this.#members, changes, transition);
    if (typeof next === 'string') return [`refused: ${next}`];
    this.#members = next;
    return [showMembers(next)];
  }
}
