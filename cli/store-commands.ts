/** Commands about the cluster's store: how it is, its members and its snapshots. */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, renameSync, rmSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { basename } from 'node:path';
import {
  Machine,
  type SnapshotPart,
  Store,
  type StoreMember,
  type StoreSurvivor,
} from '#base/protocol/bareboat.gen.ts';
import { ProtocolError } from '#base/protocol/frames.ts';
import { fileChunks } from './file-chunks.ts';
import { UsageError, explained, sizeOfInput } from './files.ts';
import {
  type Column,
  type Format,
  formatBytes,
  formatPairs,
  formatRows,
  formatValue,
} from './output.ts';
import { type Cli, outputOption } from './program.ts';

export function addStore({ program, io, withClient }: Cli): void {
  const store = program
    .command('store')
    .description("the cluster's store, its members and snapshots");
  store
    .command('status')
    .description('members, size and alarms of the store')
    .addOption(outputOption())
    .action(({ output }: { output: Format }) =>
      withClient(async (client) => {
        const { members, alarms, liveBytes, quotaBytes, ...rest } = await client.call(
          Store.GetStatus,
          {},
          io.signal,
        );
        if (output !== 'table') {
          io.out(formatValue(output, { ...rest, liveBytes, quotaBytes, alarms, members }));
          return;
        }
        const used = `${formatBytes(liveBytes)} of ${formatBytes(quotaBytes)}`;
        io.out(formatPairs({ ...rest, used, alarms: alarms.join(', ') || 'none' }));
        io.out(formatRows(output, members, { columns: MEMBER_COLUMNS, value: members }));
      }),
    );
  store
    .command('remove <member>')
    .description('remove a member that is not to come back, by its number')
    .action((member: string) =>
      withClient(async (client) => {
        await client.call(Store.RemoveMember, { id: memberId(member) }, io.signal);
        io.note(`member ${member} is removed`);
      }),
    );
  store
    .command('move-leader <member>')
    .description('hand leadership to another voter, by its number')
    .action((member: string) =>
      withClient(async (client) => {
        await client.call(Store.MoveLeader, { id: memberId(member) }, io.signal);
        io.note(`leadership is handed to member ${member}`);
      }),
    );
  store
    .command('token')
    .description('print a token by which new members come into the store')
    .option('--hours <hours>', 'how long it is good for', '1')
    .action(({ hours }: { hours: string }) => {
      const lifetimeSeconds = Math.round(Number(hours) * 3600);
      if (!(lifetimeSeconds >= 1)) throw new UsageError(`--hours ${hours} is no time`);
      return withClient(async (client) => {
        const { token } = await client.call(Store.CreateJoinToken, { lifetimeSeconds }, io.signal);
        io.out(token);
      });
    });
  store
    .command('snapshot <file>')
    .description('write the whole store to a file, which is read through again')
    .option('--force', 'replace a file that exists', false)
    .action((file: string, { force }: { force: boolean }) => {
      if (!force && existsSync(file)) throw new UsageError(`${file} exists already: --force`);
      return withClient(async (client) => {
        const parts = client.stream(Store.Snapshot, one({}), io.signal);
        const { revision, sizeBytes } = await saveSnapshot(file, parts);
        io.note(`${file}: revision ${revision}, ${formatBytes(sizeBytes)}, checked`);
      });
    });
  store
    .command('recover')
    .description(
      'make a store that has lost its quorum for good go on with what this machine holds',
    )
    .option(
      '--take <index>',
      'do it, with the log that ends there; without it, what is held is told',
    )
    .addHelpText('after', RECOVER_HELP)
    .action(({ take }: { take?: string }) =>
      withClient(async (client) => {
        const found = await client.call(Machine.InspectStore, {}, io.signal);
        if (take === undefined) {
          io.out(describeSurvivor(found));
          return;
        }
        if (take !== String(found.lastIndex)) {
          throw new UsageError(
            `the log ends at ${found.lastIndex}, not ${take}: nothing was changed`,
          );
        }
        const { groupId, memberId, lastTerm, lastIndex } = found;
        const confirmed = { groupId, memberId, lastTerm, lastIndex };
        const done = await client.call(Machine.RecoverStore, confirmed, io.signal);
        io.note(
          `the store is group ${done.groupId} now, with this member alone, at revision ${done.revision}`,
        );
      }),
    );
  store
    .command('restore <file>')
    .description('start the cluster on this machine from a snapshot, in place of bootstrap')
    .action((file: string) => {
      const sizeBytes = sizeOfInput(file);
      return withClient(async (client) => {
        const chunks = fileChunks({ file, sizeBytes }, io.note);
        for await (const { revision } of client.stream(Machine.Restore, chunks, io.signal)) {
          io.note(`restored ${basename(file)}: the store goes on at revision ${revision}`);
        }
      });
    });
}

const RECOVER_HELP = `
The store needs most of its voting members. When they are lost and will not come back, it can go on with
what one of them holds: run this on each that is left, and take the one whose log ends in the highest term,
then at the highest index. What only others held is lost, writes that were acknowledged among it. The store
becomes another one: the members it had are refused for ever, also should they come back, and clients read
everything anew. It is refused as long as there is a quorum.`;

function describeSurvivor(found: StoreSurvivor): string {
  const { groupId, memberId, lastTerm, lastIndex, commitIndex, members, expelled } = found;
  const voters = members.filter(({ role }) => role === 'voter').length;
  const others = members.filter(({ id }) => id !== memberId);
  const facts = {
    member: `${memberId} of group ${groupId}, one of ${voters} voters`,
    log: `ends in term ${lastTerm} at index ${lastIndex}, known to be committed up to ${commitIndex}`,
    'given up': others.map(({ id, address }) => `${id} (${address})`).join(', '),
    ...(expelled !== '' && { expelled: `what it holds may be old: ${expelled}` }),
  };
  const lines = [
    formatPairs(facts),
    'Writes that this member does not hold are lost. To go on with it alone:',
    `  bareboat store recover --take ${lastIndex}`,
  ];
  return lines.join('\n');
}

/** Throws UsageError for what is no member's number. */
function memberId(text: string): number {
  const id = Number(text);
  if (Number.isSafeInteger(id) && id > 0) return id;
  throw new UsageError(`${text} is no number of a member: see bareboat store status`);
}

const MEMBER_COLUMNS: readonly Column<StoreMember>[] = [
  { title: 'MEMBER', value: (member) => String(member.id) },
  { title: 'ROLE', value: (member) => member.role },
  { title: 'ADDRESS', value: (member) => member.address || '-' },
];

async function* one<T>(request: T): AsyncGenerator<T> {
  yield request;
}

/** Written whole or not at all; what lies on the disk is compared with what the machine sent. */
async function saveSnapshot(
  file: string,
  parts: AsyncIterable<SnapshotPart>,
): Promise<{ revision: number; sizeBytes: number }> {
  const staged = `${file}.part`;
  try {
    const handle = await explained('write', file, () => {
      rmSync(staged, { force: true }); // Of an earlier attempt, perhaps with another mode.
      return open(staged, 'wx', 0o600);
    });
    let told: Told;
    try {
      told = await explained('write', file, () => receive(handle, parts));
    } finally {
      await handle.close();
    }
    const hash = createHash('sha256');
    for await (const data of createReadStream(staged)) hash.update(data);
    if (hash.digest('hex') !== told.sha256) {
      throw new ProtocolError('INTERNAL', `${file} does not hold what the machine sent`);
    }
    explained('write', file, () => renameSync(staged, file));
    return told;
  } catch (error) {
    rmSync(staged, { force: true });
    throw error;
  }
}

interface Told {
  readonly revision: number;
  readonly sizeBytes: number;
  readonly sha256: string;
}

async function receive(handle: FileHandle, parts: AsyncIterable<SnapshotPart>): Promise<Told> {
  let revision = 0;
  let sizeBytes = 0;
  let sha256 = '';
  for await (const part of parts) {
    revision ||= part.revision;
    sizeBytes ||= part.sizeBytes;
    sha256 = part.sha256;
    if (part.data.length > 0) await handle.writeFile(part.data);
  }
  if (sha256 === '') throw new ProtocolError('UNAVAILABLE', 'the snapshot ended early');
  await handle.sync();
  return { revision, sizeBytes, sha256 };
}
