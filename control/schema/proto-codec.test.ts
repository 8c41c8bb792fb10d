import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { type RecordedObject, readRecorded } from './generate/extract-objects.ts';
import type { GroupVersionKind } from './gvk.ts';
import { decodeJson, encodeJson, joinListJson } from './json-codec.ts';
import {
  decodeProtobuf,
  encodeProtobuf,
  frameWatchEvent,
  joinListProtobuf,
  protobufBody,
} from './proto-codec.ts';
import { NO_UPSTREAM, upstreamModule } from './testdata/upstream.ts';
import { kindType } from './types.ts';

const api = upstreamModule('k8s.io/api');

function committed(): RecordedObject[] {
  const path = join(import.meta.dirname, 'testdata/objects.gen.json.gz');
  return JSON.parse(gunzipSync(readFileSync(path)).toString()).objects;
}

function gvkOf(name: string): GroupVersionKind {
  const match = /^(.*)\.(v\w+)\.(\w+)$/.exec(name);
  const [, group = '', version = '', kind = ''] = match ?? [];
  return { group: group === 'core' ? '' : group, version, kind };
}

function checkObject(t: Test, recorded: RecordedObject): void {
  const gvk = gvkOf(recorded.name);
  const text = JSON.stringify(recorded.json);
  const { object, problems } = decodeJson(text, { strict: true });
  t.same(problems, [], `${recorded.name}: no unknown field`);
  t.equal(encodeJson(gvk, object), text, `${recorded.name}: same JSON`);
  const protobuf = Buffer.from(encodeProtobuf(gvk, object));
  t.equal(protobuf.toString('base64'), recorded.protobuf, `${recorded.name}: same protobuf`);
  t.equal(encodeJson(gvk, decodeProtobuf(protobuf).object), text, `${recorded.name}: and back`);
}

await t.test('recorded objects are the same bytes in JSON and protobuf', async (t) => {
  for (const recorded of committed()) checkObject(t, recorded);
});

await t.test(
  'all recorded objects of served kinds are the same bytes',
  api === undefined ? { skip: NO_UPSTREAM } : {},
  async (t) => {
    const folder = join(api ?? '', 'testdata/HEAD');
    const names = readdirSync(folder)
      .filter((f) => f.endsWith('.pb'))
      .map((f) => f.slice(0, -'.pb'.length))
      .filter((name) => kindType(gvkOf(name)) !== undefined && !name.endsWith('.WatchEvent'));
    t.ok(names.length >= 90, `${names.length} kinds`);
    for (const name of names) checkObject(t, readRecorded(folder, name));
  },
);

const SECRET = { group: '', version: 'v1', kind: 'Secret' };

await t.test('an empty object carries every field that is no pointer', async (t) => {
  const bytes = encodeProtobuf(SECRET, { kind: 'Secret', apiVersion: 'v1' });
  const body = Buffer.from(protobufBody(bytes)).toString('hex');
  t.equal(body, '0a100a0012001a0022002a00320038004200' + '1a00');
});

await t.test('decodeProtobuf() refuses what is broken, skips what is unknown', async (t) => {
  const hex = (text: string): Uint8Array => Buffer.from(text.replaceAll(' ', ''), 'hex');
  const head = '6b387300 0a0c 0a027631 1206536563726574';
  const cases: readonly (readonly [string, string])[] = [
    [
      '7b7d',
      'provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]',
    ],
    [`${head} 12ff`, 'unexpected EOF'],
    [`${head} 1202 0aff`, 'unexpected EOF'],
    [`${head} 1202 0a80`, 'unexpected EOF'],
    [`${head} 1201 0b`, 'proto: illegal wireType 3'],
    ['6b387300 1200', "Object 'Kind' is missing in 'protobuf'"],
  ];
  for (const [bytes, message] of cases) {
    t.throws(() => decodeProtobuf(hex(bytes)), { name: 'SchemaError' }, message);
  }
  // Field 99 of each wire type, then type = "x".
  const unknown = '980601 9a06026162 990600000000000000 00 9d0600000000';
  const body = hex(`${unknown} 1a0178`);
  const { object } = decodeProtobuf(
    Buffer.concat([hex(head), Uint8Array.from([0x12, body.length]), body]),
  );
  t.equal(object['type'], 'x');
});

await t.test('lists and watch frames carry objects encoded once', async (t) => {
  const object = { kind: 'Secret', apiVersion: 'v1', metadata: { name: 'ü😀' } };
  const one = encodeProtobuf(SECRET, object);
  const listGvk = { ...SECRET, kind: 'SecretList' };
  const list = joinListProtobuf(listGvk, { resourceVersion: '5' }, [one, one]);
  const text = encodeJson(SECRET, object);
  const decoded = decodeProtobuf(list).object;
  t.equal(
    encodeJson(listGvk, decoded),
    joinListJson(listGvk, { resourceVersion: '5' }, [text, text]),
  );
  t.equal(
    Buffer.from(encodeProtobuf(listGvk, decoded)).toString('hex'),
    Buffer.from(list).toString('hex'),
  );
  const frame = Buffer.from(frameWatchEvent('ADDED', one));
  t.equal(frame.readUInt32BE(0), frame.length - 4);
  t.equal(frame.subarray(4, 11).toString('latin1'), '\n\u0005ADDED');
  t.ok(frame.subarray(-one.length).equals(one), 'with the envelope inside');
});

await t.test('kinds without protobuf say so', async (t) => {
  const table = { group: 'meta.k8s.io', version: 'v1', kind: 'Table' };
  t.throws(() => encodeProtobuf(table, { kind: 'Table', apiVersion: 'meta.k8s.io/v1' }), {
    code: 'NO_PROTOBUF',
  });
});
