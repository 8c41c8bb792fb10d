/** What a member of a store is told at its start, checked: unknown keys and bad values are named. */
import { z } from 'zod';

/** Bounds of a member and of what it keeps; all have defaults. */
export const memberSettings = z.strictObject({
  /** Of live keys and values; absent: by the memory of the voters. */
  quotaBytes: z.int().positive().optional(),
  /** As which version of this software the member acts (versions.ts); absent: the newest. */
  runsAsVersion: z.int().positive().optional(),
  /** Of the core, checked together by the engine (engine/tick-plan.ts). */
  heartbeatMs: z.int().positive().optional(),
  electionMs: z.int().positive().optional(),
  checkpointLogBytes: z.int().positive().optional(),
  /** Where the log is written: on the store's thread, or beside it. */
  wal: z.enum(['inline', 'worker']).optional(),
  logTailEntries: z.int().positive().optional(),
  bulkBytesPerSecondMax: z.int().positive().optional(),
});
export type MemberSettings = z.infer<typeof memberSettings>;

/** How a member and the others reach each other. */
export const memberNetwork = z.strictObject({
  host: z.string().min(1),
  port: z.int().min(0).max(65535),
  /** PEM files. The hash of the public key is who the member is. */
  privateKey: z.string().min(1),
  certificate: z.string().min(1),
  /** HOST:PORT where the other members reach this one, should it found the group. */
  address: z.string().min(1),
  /**
   * What the group answered when the member was added; else the directory's group, or a new one. An empty
   * directory asks the group all the same, so `peers` are to be named.
   */
  join: z.strictObject({ groupId: z.int().positive(), memberId: z.int().positive() }).optional(),
  /**
   * HOST:PORT of other members. A member with such does not found a group on an empty directory but asks
   * them to be taken in again; and one that is alone by its log asks them before it leads.
   */
  peers: z.array(z.string().min(1)).default([]),
  /** Of the group of those peers (join-token.ts): by it a member comes in that nobody has added. */
  token: z.string().min(1).optional(),
  /** Hashes of keys of members to be met before the log names any, and of clients. */
  memberKeys: z.array(z.string()).default([]),
  clientKeys: z.array(z.string()).default([]),
});
export type MemberNetwork = z.infer<typeof memberNetwork>;
