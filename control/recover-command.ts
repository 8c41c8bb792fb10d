/**
 * `main.ts --recover CONFIG.json [CONFIRMED]`: what the member of this directory holds, whose group has lost
 * its quorum; with what was told, as JSON, makes it a group of its own. For the supervisor, which has
 * stopped control.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
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

/**
 * Rejects with StoreError INVALID_REQUEST where the store has a quorum, or needs none, or holds another log
 * than was told; else as parsing and reading do.
 */
export async function recoverCommand([path = '', text]: readonly string[]): Promise<
  Survivor | RecoveredGroup
> {
  const of = text === undefined ? undefined : confirmed.parse(JSON.parse(text));
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
