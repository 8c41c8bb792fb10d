/** Checkpoints: equal states make equal files, whatever happened to their members meanwhile. */
import fc from 'fast-check';
import t from 'tap';
import { must } from '#base/assert.ts';
import { ByteWriter } from '../codec/bytes.ts';
import { COMMAND, beginCommand, encodeTxn } from '../codec/command.ts';
import { MemoryDisk } from '../disk/memory-disk.ts';
import { StateMachine } from '../engine/state-machine.ts';
import { CHECKPOINT_CHUNK_BYTES } from '../limits.ts';
import { formatHash } from '../mvcc/state-hash.ts';
import { crc32, sha256 } from '../native-digests.ts';
import { StoreError } from '../port.ts';
import type { Operation } from '../port.ts';
import { setCheckpointFormat } from '../testing/later-formats.ts';
import { checkpointName } from './format.ts';
import type { ChunkPlace } from './format.ts';
import { loadCheckpoint, loadManifest } from './read.ts';
import { CheckpointWriter } from './write.ts';

const options = { checkpointLogBytes: 3000 };

/** A member: a state machine, and a disk for its checkpoints. */
class Member {
  readonly disk = new MemoryDisk();
  state = new StateMachine(crc32, options);
  readonly due: number[] = [];

  apply(data: Uint8Array): void {
    const index = this.state.appliedIndex + 1;
    this.state.apply({ index, term: 1, data }, new ByteWriter());
    if (this.state.isCheckpointDue) this.due.push(index);
  }

  begin(): CheckpointWriter {
    const name = checkpointName(this.state.appliedIndex);
    return new CheckpointWriter({ disk: this.disk, sha256, groupId: 5, name }, this.state);
  }

  /** Writes a checkpoint and returns its name. */
  write(between: () => void = () => {}): string {
    const name = checkpointName(this.state.appliedIndex);
    const writer = this.begin();
    while (!writer.slice()) between();
    writer.publish();
    return name;
  }

  load(name: string): StateMachine {
    return loadCheckpoint({ disk: this.disk, crc32, sha256 }, name, options).state;
  }

  /** Goes on from its checkpoint, as after a restart. */
  restart(): void {
    this.state = this.load(this.write());
  }

  bytes(name: string): Buffer {
    const file = this.disk.open(name);
    const bytes = Buffer.alloc(file.size);
    file.read(bytes, 0);
    return bytes;
  }

  chunks(name: string): readonly ChunkPlace[] {
    return loadManifest(this.disk.open(name), name, sha256).chunks;
  }
}

function command(kind: number, ...numbers: number[]): Uint8Array {
  const out = new ByteWriter();
  beginCommand(out, kind);
  for (const number of numbers) out.varint(number);
  return out.take();
}

function txn(success: Operation[], origin?: { session: number; sequence: number }): Uint8Array {
  const out = new ByteWriter();
  encodeTxn(out, { compare: [], success, failure: [] }, origin);
  return out.take();
}

function put(key: string, bytes: number, leaseId?: string): Operation {
  return { kind: 'put', request: { key, value: new Uint8Array(bytes).fill(bytes), leaseId } };
}

function keyOf(number: number): string {
  return `key-${String(number).padStart(5, '0')}`;
}

/** The first two entries of each log: a lease and a session, with ids 1 and 2. */
const FIRST = [command(COMMAND.leaseGrant, 600), command(COMMAND.openSession)];

const entry: fc.Arbitrary<Uint8Array> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc
      .tuple(fc.nat(20), fc.nat(300), fc.boolean(), fc.integer({ min: 1, max: 2000 }))
      .map(([key, bytes, isLeased, sequence]) =>
        txn([put(keyOf(key), bytes, isLeased ? '1' : undefined)], { session: 2, sequence }),
      ),
  },
  {
    weight: 3,
    arbitrary: fc
      .tuple(fc.nat(20), fc.nat(5))
      .map(([key, count]) =>
        txn([{ kind: 'deleteRange', request: { key: keyOf(key), rangeEnd: keyOf(key + count) } }]),
      ),
  },
  { weight: 1, arbitrary: fc.nat(60).map((revision) => command(COMMAND.compact, revision)) },
  { weight: 1, arbitrary: fc.constantFrom(...FIRST) },
  { weight: 1, arbitrary: fc.constant(command(COMMAND.leaseCheckpoint, 1, 1, 12_345)) },
);

/** What may happen to one member and not to another, behind an entry. */
const happening = fc.constantFrom('nothing', 'slice', 'slice', 'cleaned', 'restart');

function happen(member: Member, what: string): void {
  if (what === 'slice') member.state.mvcc.compactSlice();
  else if (what === 'cleaned') while (member.state.mvcc.compactSlice());
  else if (what === 'restart') member.restart();
}

t.test('members with the same log write the same files at the same indexes', (t) => {
  const log = fc.array(fc.tuple(entry, happening, happening), { maxLength: 80 });
  fc.assert(
    fc.property(log, fc.array(entry, { maxLength: 20 }), (entries, later) => {
      const members = [new Member(), new Member()] as const;
      for (const data of FIRST) for (const member of members) member.apply(data);
      for (const [data, ...whats] of entries) {
        for (const [i, member] of members.entries()) {
          member.apply(data);
          happen(member, whats[i] ?? 'nothing');
        }
      }
      const [quiet, busy] = members;
      const hash = formatHash(quiet.state.hash);
      const name = quiet.write();
      // The other one goes on with its log while it writes.
      const waiting = [...later];
      const next = () => {
        const data = waiting.shift();
        if (data !== undefined) busy.apply(data);
      };
      busy.write(next);
      if (!quiet.bytes(name).equals(busy.bytes(name))) throw new Error(`${name} differs`);
      if (quiet.due.join() !== busy.due.slice(0, quiet.due.length).join()) {
        throw new Error(`due at ${quiet.due.join()} and ${busy.due.join()}`);
      }
      const loaded = busy.load(name);
      if (formatHash(loaded.hash) !== hash) throw new Error('the loaded state differs');
      if (loaded.leases.get(1)?.keyIds.size !== quiet.state.leases.get(1)?.keyIds.size) {
        throw new Error('keys hang on other leases');
      }
    }),
    { numRuns: 300 },
  );
  t.end();
});

t.test('a small change leaves most chunks as they are', (t) => {
  const member = new Member();
  for (let i = 0; i < 4000; i++) member.apply(txn([put(keyOf(i), 900 + (i % 200))]));
  const before = member.chunks(member.write());
  t.ok(before.length > 10, `${before.length} chunks`);
  member.apply(txn([put(keyOf(2000), 50), put(`${keyOf(1000)}x`, 50)]));
  member.apply(command(COMMAND.compact, member.state.mvcc.revision));
  const known = new Set(before.map(({ sha256: digest }) => Buffer.from(digest).toString('hex')));
  const after = member.chunks(member.write());
  const fresh = after.filter(
    ({ sha256: digest }) => !known.has(Buffer.from(digest).toString('hex')),
  );
  t.ok(fresh.length <= 4, `${fresh.length} of ${after.length} chunks are new`);
  t.end();
});

t.test('a slice is bounded, though one key may have a long history', (t) => {
  const member = new Member();
  for (let i = 0; i < 200; i++) member.apply(txn([put('a', 20_000)]));
  for (let i = 0; i < 5000; i++) member.apply(txn([put(keyOf(i), 1)]));
  const { disk } = member;
  let written = 0;
  let most = 0;
  let slices = 0;
  disk.faults.beforeChange = () => {};
  const writer = member.begin();
  for (let isDone = false; !isDone; slices++) {
    isDone = writer.slice();
    const bytes = disk.bytesUsed;
    most = Math.max(most, bytes - written);
    written = bytes;
  }
  t.ok(slices > 20, `${slices} slices`);
  t.ok(most < 4 * CHECKPOINT_CHUNK_BYTES, `${most} bytes in a slice`);
  t.end();
});

t.test('any changed bit is found', (t) => {
  const member = new Member();
  for (const data of FIRST) member.apply(data);
  for (let i = 0; i < 5; i++) {
    member.apply(txn([put(keyOf(i), 20, '1')], { session: 2, sequence: i + 1 }));
  }
  const name = member.write();
  const { length } = member.bytes(name);
  for (let bit = 0; bit < length * 8; bit++) {
    const at = bit >>> 3;
    const flip = (bytes: Uint8Array) => bytes.set([(bytes[at] ?? 0) ^ (1 << (bit & 7))], at);
    member.disk.damage(name, flip);
    let code = 'none';
    try {
      member.load(name);
    } catch (error) {
      code = error instanceof StoreError ? error.code : String(error);
    }
    if (code !== 'CORRUPT') t.fail(`bit ${bit & 7} of byte ${at} of ${length}: ${code}`);
    member.disk.damage(name, flip);
  }
  t.same(formatHash(member.load(name).hash), formatHash(member.state.hash));
  for (const size of [0, 10, length - 1]) {
    const { disk } = member;
    const image = disk.image();
    disk.open(name).truncate(size);
    t.throws(() => member.load(name), { code: 'CORRUPT' }, `cut to ${size} bytes`);
    disk.rollBack(image);
  }
  t.end();
});

t.test('a later format is told from damage', (t) => {
  const member = new Member();
  for (const data of FIRST) member.apply(data);
  const name = member.write();
  member.disk.damage(name, (bytes) => setCheckpointFormat(bytes, 4));
  t.throws(() => member.load(name), {
    code: 'UNSUPPORTED',
    message: /format version 4, known is 3/,
  });
  t.end();
});

t.test('memory that does not hold what was kept is not written', (t) => {
  const change = (row: object | undefined, to: object) =>
    void Object.assign(must(row, 'a row'), to);
  const damages: [string, (state: StateMachine) => void][] = [
    ['what is left of a lease', (state) => change(state.leases.get(1), { remainingMs: 1 })],
    ['the time of a lease', (state) => change(state.leases.get(1), { ttlSeconds: 7 })],
    ['a member', (state) => change(state.roster.get(7), { key: 'other' })],
  ];
  for (const [name, damage] of damages) {
    const member = new Member();
    member.apply(command(COMMAND.leaseGrant, 60));
    member.apply(command(COMMAND.openSession));
    member.state.roster.set({ id: 7, key: 'k', address: 'a', isToVote: true });
    member.apply(txn([put('a', 10)], { session: 2, sequence: 1 }));
    const whole = member.begin();
    while (!whole.slice());
    whole.abandon();
    damage(member.state);
    const writer = member.begin();
    t.throws(
      () => {
        while (!writer.slice());
      },
      { code: 'CORRUPT', message: /^memory holds leases, sessions and members with hash/ },
      name,
    );
    writer.abandon();
  }
  t.end();
});
