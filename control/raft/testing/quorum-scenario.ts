/**
 * Text scenarios over majorities alone: testdata/quorum. A half of voters is written with what each
 * says, `_` for nothing yet; the second half makes it joint.
 *
 *   committed 1:100 2:101 3:_ [&& 1 4:7]    the index held by a majority of each half
 *   vote 1:y 2:n 3:_ [&& 1 4:y]             the outcome of an election
 *
 * A voter of both halves may say its word once. Each answer is compared with one that counts every
 * possible majority, so a file cannot record a wrong one.
 */
import { assert } from '#base/assert.ts';
import { committedIndex, majority, voteResult } from '../quorum.ts';
import type { VoteResult } from '../quorum.ts';

interface Halves {
  readonly voters: readonly number[];
  readonly votersOutgoing: readonly number[];
}

export class QuorumScenario {
  run(command: string): string[] {
    const [verb = '', ...words] = command.split(' ');
    const cut = words.indexOf('&&');
    const incoming = cut === -1 ? words : words.slice(0, cut);
    const outgoing = cut === -1 ? [] : words.slice(cut + 1);
    const said = new Map<number, string>();
    for (const word of [...incoming, ...outgoing]) {
      const [id, value] = word.split(':');
      if (value !== undefined && value !== '_') said.set(Number(id), value);
    }
    const idsOf = (half: readonly string[]) => half.map((word) => Number(word.split(':')[0]));
    const halves = { voters: idsOf(incoming), votersOutgoing: idsOf(outgoing) };
    if (verb === 'committed') return [committed(halves, said)];
    assert(verb === 'vote', `command ${verb} is known`);
    return [vote(halves, said)];
  }
}

function committed(halves: Halves, said: ReadonlyMap<number, string>): string {
  const matchOf = (id: number) => Number(said.get(id) ?? 0);
  const index = committedIndex(halves, matchOf);
  const swapped = { voters: halves.votersOutgoing, votersOutgoing: halves.voters };
  assert(index === committedIndex(swapped, matchOf), 'the halves are equal in rights');
  assert(index === countedIndex(halves, matchOf), 'counting majorities gives the same');
  return index === Number.MAX_SAFE_INTEGER ? 'everything' : `${index}`;
}

/** The highest index such that some majority of each half holds it. */
function countedIndex(halves: Halves, matchOf: (id: number) => number): number {
  const isHeld = (half: readonly number[], index: number) =>
    half.length === 0 || half.filter((id) => matchOf(id) >= index).length >= majority(half.length);
  const all = [...halves.voters, ...halves.votersOutgoing];
  if (all.length === 0) return Number.MAX_SAFE_INTEGER;
  const candidates = [0, ...all.map(matchOf)].filter(
    (index) => isHeld(halves.voters, index) && isHeld(halves.votersOutgoing, index),
  );
  return Math.max(...candidates);
}

function vote(halves: Halves, said: ReadonlyMap<number, string>): string {
  const voteOf = (id: number) => (said.has(id) ? said.get(id) === 'y' : undefined);
  const result = voteResult(halves, voteOf);
  const swapped = { voters: halves.votersOutgoing, votersOutgoing: halves.voters };
  assert(result === voteResult(swapped, voteOf), 'the halves are equal in rights');
  assert(result === countedVote(halves, voteOf), 'trying every outcome gives the same');
  return result;
}

/** Tries both extremes for the votes that are missing: won for sure, lost for sure, or neither. */
function countedVote(halves: Halves, voteOf: (id: number) => boolean | undefined): VoteResult {
  const isWon = (missing: boolean) =>
    [halves.voters, halves.votersOutgoing].every((half) => {
      const yes = half.filter((id) => voteOf(id) ?? missing).length;
      return half.length === 0 || yes >= majority(half.length);
    });
  if (isWon(false)) return 'won';
  return isWon(true) ? 'pending' : 'lost';
}
