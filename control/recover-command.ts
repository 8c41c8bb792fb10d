/**
 * `main.ts --recover CONFIG.json [CONFIRMED]`: what the member of this directory holds, whose group has lost
 * its quorum; with what was told, as JSON, makes it a group of its own. For the supervisor, which has
 * stopped control; prints one line of JSON, what was found or done, or what refused it.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { errorText, isErrno } from '#base/errors.ts';
import { FdLog } from '#base/log.ts';
import { STORE_DIR, parseControlConfig } from './config.ts';
import { StoreError, findLivingGroup, inspectMember, recoverMember } from '#control/store/store.ts';
import type { RecoveredGroup, Survivor } from '#control/store/store.ts';

const confirmed = z.object({
  groupId: z.int(),
  memberId: z.int(),
  lastTerm: z.int(),
  lastIndex: z.int(),
});

/** Resolves to the exit code. */
export async function recoverCommand([path = '', text]: readonly string[]): Promise<number> {
  const say = (value: object) => process.stdout.write(`${JSON.stringify(value)}\n`);
  try {
    say(await recover(path, text === undefined ? undefined : confirmed.parse(JSON.parse(text))));
    return 0;
  } catch (error) {
    const isFull = isErrno(error, 'ENOSPC', 'EDQUOT');
    const code = error instanceof StoreError ? error.code : isFull ? 'NO_SPACE' : 'INTERNAL';
    say({ code, message: errorText(error) });
    return 1;
  }
}

async function recover(
  path: string,
  of: z.infer<typeof confirmed> | undefined,
): Promise<Survivor | RecoveredGroup> {
  const config = parseControlConfig(readFileSync(path, 'utf8'));
  if (config.etcd !== undefined) {
    throw new StoreError('INVALID_REQUEST', 'the cluster is on an external etcd');
  }
  const directory = join(config.dataDir, STORE_DIR);
  const survivor = inspectMember(directory);
  const { groupId, memberId, members } = survivor;
  const others = members.filter(({ id }) => id !== memberId);
  if (!others.some(({ role }) => role === 'voter')) {
    throw new StoreError('INVALID_REQUEST', 'the store has no other voter: it needs no recovery');
  }
  const log = new FdLog({ level: 'error' });
  const { store: network } = config;
  const { signal } = new AbortController();
  // Nobody to be asked without a network: nobody to make a quorum with either.
  const living = network && (await findLivingGroup({ network, groupId, log }, others, signal));
  if (living !== undefined) {
    const text = `the store has a quorum: member ${living.leaderId} leads it`;
    throw new StoreError('INVALID_REQUEST', `${text}; nothing was changed`);
  }
  return of === undefined ? survivor : recoverMember(directory, of);
}
