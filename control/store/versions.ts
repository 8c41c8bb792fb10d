/**
 * Versions of what members write and say (reference/store.md section 8, rule 11). One number stands for
 * all of it: a group has a version, which its log raises; members write the formats of that version and
 * follow its rules, whatever later one they run as. So a member may go back to the software before, until
 * the group was raised.
 *
 *   version  log segments  checkpoints  commands up to  state hash
 *      1          2             2        describeMember  revisions, quota, alarm, log bytes
 *      2          2             3        leaseExpire     the same, the version, memory of members
 *
 * A change of any of these is a new row, a recorded directory (formats.test.ts), and VERSION + 1. What one
 * software knows of it is data (software.ts).
 */
import { StoreError } from './port.ts';

/** What this software runs as, unless it is told to run as an earlier one. */
export const VERSION = 2;

/** The oldest group that this software works in, and the oldest member that it speaks with. */
export const VERSION_MIN = 1;

/** From this version on the log says how much memory members have, and leases have generations. */
export const VERSION_FACTS = 2;

export interface Formats {
  readonly checkpoint: number;
}

/** What members write, by the version of their group. */
export const FORMATS: Readonly<Record<number, Formats>> = {
  1: { checkpoint: 2 },
  2: { checkpoint: 3 },
};

/** What one member says of its versions to another. */
export interface SpokenVersions {
  readonly version: number;
  readonly versionMin: number;
  /** Of its group, by what it applied. */
  readonly groupVersion: number;
}

/** Why two members cannot be of one group; undefined when they can. */
export function versionProblem(own: SpokenVersions, other: SpokenVersions): string | undefined {
  if (other.version < own.versionMin) {
    return `member runs version ${other.version}, the oldest known is ${own.versionMin}`;
  }
  if (own.version < other.versionMin) {
    return `member knows version ${other.versionMin} and later, this one runs ${own.version}`;
  }
  if (other.version < own.groupVersion || own.version < other.groupVersion) {
    const group = Math.max(own.groupVersion, other.groupVersion);
    return `group has version ${group}, a member runs ${Math.min(own.version, other.version)}`;
  }
  return undefined;
}

export function unknownVersion(what: string, version: number, known: number): StoreError {
  return new StoreError('UNSUPPORTED', `${what} has version ${version}, known is ${known}`);
}
