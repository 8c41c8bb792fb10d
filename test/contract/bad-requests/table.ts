/**
 * The table of bad requests (cases/*.yaml) and of good ones (good/*.yaml): what is sent, to where.
 * Read by the recorder, which sends it to a server, and by the replaying test.
 *
 * An object is a named base with an RFC 7386 merge patch. `create` is a POST. `update` first creates
 * the base (patched by `given`), then PUTs the stored object patched by `update`, to the resource or
 * to a subresource.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { parse } from 'yaml';

export type Json = Record<string, unknown>;

export interface Case {
  readonly name: string;
  readonly base: string;
  readonly create?: Json | undefined;
  readonly given?: Json | undefined;
  readonly update?: Json | undefined;
  readonly subresource?: string | undefined;
}

export interface BoundCase extends Case {
  /** `FILE: NAME`, the key of the recorded answer. */
  readonly key: string;
  /** The base with `create`, or with `given`. */
  readonly object: Json;
  /** Path of the collection. */
  readonly path: string;
}

/** What is compared: the code and the parts of the Status that clients read. */
export interface Answer {
  readonly code: number;
  readonly reason?: string | undefined;
  readonly message?: string | undefined;
  readonly causes?: readonly Json[] | undefined;
}

export interface Recorded {
  readonly answer: Answer;
  /** Of updates: the object as stored before. */
  readonly old?: Json | undefined;
  /** Of good requests: the object as stored. */
  readonly stored?: Json | undefined;
  /** Of good requests: the stored object as `kubectl get` asks for it. */
  readonly table?: RecordedTable | undefined;
}

export interface RecordedTable {
  /** Name, type, format and priority. */
  readonly columns: readonly (readonly unknown[])[];
  readonly cells: readonly unknown[];
  /** The row's object, where it was no more the one that was stored. */
  readonly object?: Json | undefined;
}

interface File {
  readonly path: string;
  readonly bases: Readonly<Record<string, Json>>;
  readonly cases: readonly Case[];
}

/** RFC 7386, for tests: the patch's nulls remove. */
export function merge(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const isMap = typeof target === 'object' && target !== null && !Array.isArray(target);
  const result: Json = isMap ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = merge(result[key], value);
  }
  return result;
}

export function readCases(folder: 'cases' | 'good'): BoundCase[] {
  const directory = new URL(`${folder}/`, import.meta.url);
  return readdirSync(directory)
    .filter((file) => file.endsWith('.yaml'))
    .toSorted()
    .flatMap((file) => {
      const text = readFileSync(new URL(file, directory), 'utf8');
      const parsed = parse(text) as File; // Ours; a wrong one fails the test that reads it.
      return parsed.cases.map((entry) => bind(parsed, file.replace('.yaml', ''), entry));
    });
}

function bind(file: File, name: string, entry: Case): BoundCase {
  const base = file.bases[entry.base];
  if (base === undefined) throw new Error(`${name}: no base '${entry.base}'`);
  const object = merge(base, entry.create ?? entry.given ?? {}) as Json; // A map, as the base is.
  const path = typeof base['$path'] === 'string' ? base['$path'] : file.path;
  delete object['$path'];
  return { ...entry, key: `${name}: ${entry.name}`, object, path };
}

export const UID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;

/** The name and the uid that upstream generated cannot be foreseen. */
function withoutSuffix(value: Answer, entry: BoundCase): Answer {
  const generated = (entry.object['metadata'] as Json)['generateName']; // Every base has metadata.
  const plain = JSON.stringify(value).replaceAll(UID, 'UID');
  const text =
    typeof generated === 'string'
      ? plain.replaceAll(new RegExp(`${generated}[a-z0-9]{5}`, 'g'), generated)
      : plain;
  return JSON.parse(text) as Answer; // Was an Answer.
}

/** Sets are checked in Go's random order of maps where upstream ranges over one: compare sorted. */
export function comparable(value: Answer, entry: BoundCase): unknown {
  const plain = JSON.parse(JSON.stringify(withoutSuffix(value, entry))) as Answer; // Was an Answer.
  const causes = (plain.causes ?? []).map((cause) => JSON.stringify(cause)).toSorted();
  return {
    ...plain,
    causes,
    message: causes.length > 1 ? sortedMessage(plain.message) : plain.message,
  };
}

function sortedMessage(message = ''): string {
  const open = message.indexOf('[');
  if (open < 0) return message;
  return (
    message.slice(0, open) +
    message
      .slice(open + 1, -1)
      .split(', ')
      .toSorted()
      .join(', ')
  );
}
