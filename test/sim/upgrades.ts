/**
 * Which software the members of a group run. One runs as the version before, as the present one, or as
 * the next, which knows what the present one does not; members change one after the other, and until the
 * new software was found good on a machine that machine may go back:
 *
 *   runs N, for good -> runs N + 1, may go back -> runs N + 1, for good
 *                    <- goes back
 *
 * So a group is raised too early exactly when some member may still run what went before (`lowest`).
 */
import { COMMAND } from '#control/store/codec/command.ts';
import { SOFTWARE } from '#control/store/software.ts';
import type { Software } from '#control/store/software.ts';
import { VERSION } from '#control/store/versions.ts';
import type { SeededRandom } from '#control/store/testing/seeded-random.ts';
import type { EventQueue } from './event-queue.ts';
import type { SimMember } from './member.ts';

const NEXT_VERSION = VERSION + 1;

/**
 * The next version of this software. In a group of that version some commands have another layout: of those
 * that clients send, and of a leader's own. Their bytes are the same but for the name of the layout, which
 * stops who does not know it.
 */
export const NEXT: Software = {
  version: NEXT_VERSION,
  formats: { ...SOFTWARE.formats, [NEXT_VERSION]: { checkpoint: 3 } },
  commands: {
    ...SOFTWARE.commands,
    [COMMAND.txn]: [...(SOFTWARE.commands[COMMAND.txn] ?? []), NEXT_VERSION],
    [COMMAND.leaseExpire]: [...(SOFTWARE.commands[COMMAND.leaseExpire] ?? []), NEXT_VERSION],
  },
};

/** What a machine has installed. */
export interface Installed {
  readonly version: number;
  /** What it goes back to; undefined = it was found good, and stays. */
  readonly former: number | undefined;
}

/** The software that runs as this version. */
export function softwareOf(version: number): Software {
  return version > VERSION ? NEXT : SOFTWARE;
}

/** The lowest version that this machine may come to run. */
export function lowest({ version, former }: Installed): number {
  return former ?? version;
}

/** What a group's members run at first, and what they all come to run. */
export interface VersionRange {
  readonly first: number;
  readonly last: number;
}

export const VERSION_RANGES: readonly VersionRange[] = [
  { first: VERSION, last: VERSION },
  { first: VERSION - 1, last: VERSION },
  { first: VERSION, last: NEXT_VERSION },
  { first: VERSION, last: NEXT_VERSION },
  { first: VERSION - 1, last: NEXT_VERSION },
];

/** How long new software is on trial, at most: some are found good at once, some not within a run. */
const TRIAL_MS = [1000, 20_000, 100_000];

export class Upgrades {
  readonly #time: EventQueue;
  readonly #random: SeededRandom;
  readonly #last: number;

  constructor(group: { time: EventQueue; random: SeededRandom; versions: VersionRange }) {
    this.#time = group.time;
    this.#random = group.random;
    this.#last = group.versions.last;
  }

  /** Installs later software, for a trial, should there be any; the next process runs it. */
  install(member: SimMember): void {
    const { version, former } = member.installed;
    if (version >= this.#last || former !== undefined) return;
    const installed = { version: this.#random.between(version + 1, this.#last), former: version };
    member.installed = installed;
    this.#time.after(this.#random.next() * this.#random.pick(TRIAL_MS), () => {
      if (member.installed === installed) member.confirm();
    });
  }

  isOnTrial({ installed }: SimMember): boolean {
    return installed.former !== undefined;
  }

  /** The next process runs what ran before. */
  goBack(member: SimMember): void {
    member.installed = { version: lowest(member.installed), former: undefined };
  }

  /** The last software, for good; false when it runs that already. */
  finish(member: SimMember): boolean {
    if (this.isOnTrial(member)) member.confirm();
    if (member.installed.version >= this.#last) return false;
    member.installed = { version: this.#last, former: undefined };
    return true;
  }
}
