/**
 * Estimates what a proposed command does to the size of the store, for a disk or a quota that has no
 * room for growth. Looks at the applied state; the state machine decides again at apply.
 */
import { ByteReader } from '../codec/bytes.ts';
import { COMMAND, OP } from '../codec/command.ts';
import { readCommandHead, readCompare, readOperation } from '../codec/read-command.ts';
import { NONE } from '../mvcc/records.ts';
import type { Need } from './disk-room.ts';
import type { StateMachine } from './state-machine.ts';

/** The need of an encoded command, whose form the caller has checked. */
export function needOf(state: StateMachine, command: Uint8Array): Need {
  const input = new ByteReader(command);
  const { kind } = readCommandHead(input, state.software);
  if (kind === COMMAND.leaseGrant) return 'growth';
  // A deletion that is under way goes on wherever a deletion can.
  if (kind !== COMMAND.txn) return 'relief';
  for (let count = input.varint(); count > 0; count--) readCompare(input);
  input.skip(4); // Length of the branch that follows.
  const needs = [needOfBranch(state, input), needOfBranch(state, input)];
  return ORDER.find((need) => needs.includes(need)) ?? 'relief';
}

/** What a whole is when one of its parts is. */
const ORDER: readonly Need[] = ['growth', 'update', 'relief'];

function needOfBranch(state: StateMachine, input: ByteReader): Need {
  let need: Need = 'relief';
  for (let count = input.varint(); count > 0; count--) {
    const operation = readOperation(input);
    if (operation.kind !== OP.put) continue;
    if (growthOf(state, operation.key, operation.value.length) > 0) need = 'growth';
    else if (need === 'relief') need = 'update';
  }
  return need;
}

/** By how many bytes a put makes the store larger; 0 when it does not. */
export function growthOf(state: StateMachine, key: Uint8Array, valueBytes: number): number {
  const record = state.mvcc.current(key);
  if (record === NONE) return key.length + valueBytes;
  return Math.max(0, valueBytes - (state.mvcc.records.size[record] as number)); // Kept.
}
