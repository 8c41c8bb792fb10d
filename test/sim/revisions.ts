/** The one history of a group: what each revision changed, and with it the state at each revision. */
import { assert } from '#base/assert.ts';
import type { KeyRange, KeyValue } from '#control/store/port.ts';
import { latin1Text } from '#control/store/codec/bytes.ts';

/** What a revision did to a key; undefined = deleted it. */
export type Change = ReadonlyMap<string, string | undefined>;

interface Version {
  readonly mod: number;
  readonly create: number;
  /** 0 = deleted. */
  readonly version: number;
  readonly value: string;
}

const ABSENT: Version = { mod: 0, create: 0, version: 0, value: '' };

export class Revisions {
  /** Place = revision; revisions that changed nothing have their place, too. */
  readonly #changes: (Change | undefined)[] = [];
  readonly #versions = new Map<string, Version[]>();
  /** All that ever were, in their order. */
  readonly #keys: string[] = [];
  /** Up to this revision `#versions` is complete. */
  #builtTo = 0;

  get last(): number {
    return this.#changes.length - 1;
  }

  at(revision: number): Change | undefined {
    return this.#changes[revision];
  }

  add(revision: number, key: string, value: string | undefined): void {
    assert(revision > this.#builtTo, `revision ${revision} is new`);
    this.#changes[revision] = new Map(this.#changes[revision]).set(key, value);
  }

  /** Nothing below is added any more. */
  extendTo(revision: number): void {
    this.#changes.length = Math.max(this.#changes.length, revision + 1);
  }

  /** The key as it is at the revision; version 0 when it is not there. */
  versionAt(key: string, revision: number): Version {
    this.#build(revision);
    const versions = this.#versions.get(key);
    if (versions === undefined) return ABSENT;
    let from = 0;
    let to = versions.length; // What is asked for is the last one below this place.
    while (from < to) {
      const middle = (from + to) >>> 1;
      if ((versions[middle] as Version).mod <= revision)
        from = middle + 1; // Below the length.
      else to = middle;
    }
    return versions[from - 1] ?? ABSENT;
  }

  /** The keys of a range that live at the revision, in their order. */
  keysAt(range: KeyRange, revision: number): string[] {
    this.#build(revision);
    return this.#keys.filter(
      (key) => isIn(range, key) && this.versionAt(key, revision).version > 0,
    );
  }

  /** The last revision that changed something in the range. */
  lastIn(range: KeyRange): number {
    const isMet = (change: Change | undefined) =>
      change !== undefined && [...change.keys()].some((key) => isIn(range, key));
    return this.#changes.findLastIndex(isMet);
  }

  /** What was told of a key that lives is what was written; `revision` is that of the state. */
  check(kv: KeyValue, revision: number): void {
    const known = this.versionAt(kv.key, revision);
    const text = latin1Text(kv.value, 0, kv.value.length);
    const of = `${kv.key} at ${revision}`;
    assert(known.version > 0, `${of} is there`);
    assert(known.value === text, `${of} is ${known.value}: ${text}`);
    assert(known.mod === kv.modRevision, `${of} was changed at ${known.mod}: ${kv.modRevision}`);
    assert(known.create === kv.createRevision, `${of} was made at ${known.create}`);
    assert(known.version === kv.version, `${of} is version ${known.version}: ${kv.version}`);
  }

  #build(to: number): void {
    for (let revision = this.#builtTo + 1; revision <= to; revision++) {
      for (const [key, value] of this.#changes[revision] ?? []) {
        const versions = this.#versions.get(key) ?? this.#meet(key);
        const { create, version } = versions.at(-1) ?? ABSENT;
        const isNew = version === 0;
        if (value === undefined) versions.push({ ...ABSENT, mod: revision });
        else {
          versions.push({
            mod: revision,
            create: isNew ? revision : create,
            version: version + 1,
            value,
          });
        }
      }
    }
    this.#builtTo = Math.max(this.#builtTo, to);
  }

  #meet(key: string): Version[] {
    const versions: Version[] = [];
    this.#versions.set(key, versions);
    const place = this.#keys.findLastIndex((other) => other < key);
    this.#keys.splice(place + 1, 0, key);
    return versions;
  }
}

export function isIn({ key: start, rangeEnd }: KeyRange, key: string): boolean {
  if (rangeEnd === undefined) return key === start;
  return key >= start && (rangeEnd === '\0' || key < rangeEnd);
}
