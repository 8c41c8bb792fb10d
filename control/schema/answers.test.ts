/** Broken bodies and random patches, compared with upstream's recorded answers (record-answers.ts). */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import t from 'tap';
import { decodeJson, encodeJson } from './json-codec.ts';
import { strategicMergePatch } from './patch.ts';
import { decodeProtobuf, encodeProtobuf } from './proto-codec.ts';
import { SchemaError } from './gvk.ts';

interface Case {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly text: string;
  readonly patch?: string;
  readonly answer: {
    readonly error?: string;
    readonly strict?: boolean;
    readonly json?: string;
    readonly protobuf?: string;
  };
}

const path = join(import.meta.dirname, 'testdata/answers.gen.json.gz');
const cases: Case[] = JSON.parse(gunzipSync(readFileSync(path)).toString()).cases;

/** The message of a SchemaError, or what `run` returns. */
function outcome<T>(run: () => T): { readonly error: string } | { readonly value: T } {
  try {
    return { value: run() };
  } catch (error) {
    if (error instanceof SchemaError) return { error: error.message };
    throw error;
  }
}

await t.test('decodeJson() answers broken bodies as upstream', async (t) => {
  let checked = 0;
  for (const { text, answer, patch: _, ...gvk } of cases.filter((c) => c.patch === undefined)) {
    const got = outcome(() => decodeJson(text, { defaults: gvk, strict: true }));
    checked += 1;
    if ('error' in got) {
      t.equal(got.error, answer.error, text);
      continue;
    }
    const { object, problems } = got.value;
    const error = problems.length > 0 ? `strict decoding error: ${problems.join(', ')}` : undefined;
    t.equal(error, answer.error, text);
    t.equal(`${encodeJson(gvk, object)}\n`, answer.json, `${text}: JSON`);
    const bytes = encodeProtobuf(gvk, object);
    t.equal(Buffer.from(bytes).toString('base64'), answer.protobuf, `${text}: protobuf`);
    const again = encodeProtobuf(gvk, decodeProtobuf(bytes).object);
    t.equal(Buffer.compare(again, bytes), 0, `${text}: protobuf and back`);
  }
  t.ok(checked >= 400, `${checked} bodies`);
});

/** Upstream keeps nulls in lists that it takes over whole; decoding drops them. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, v]) => v !== null);
  return Object.fromEntries(entries.map(([key, v]) => [key, withoutNulls(v)]));
}

await t.test('strategicMergePatch() merges as upstream', async (t) => {
  let checked = 0;
  for (const { text, patch, answer, ...gvk } of cases) {
    if (patch === undefined) continue;
    checked += 1;
    const got = outcome(() => strategicMergePatch(gvk, JSON.parse(text), JSON.parse(patch)));
    const name = `${text} + ${patch}`;
    // Which of several errors upstream finds first is left to chance.
    if ('error' in got) t.ok(answer.error, name);
    else t.same(withoutNulls(got.value), withoutNulls(JSON.parse(answer.json ?? 'null')), name);
  }
  t.ok(checked >= 300, `${checked} patches`);
});
