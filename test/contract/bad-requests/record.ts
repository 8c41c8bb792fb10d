/**
 * Sends the table of bad and good requests to a server and writes its answers, or compares them with
 * the recorded ones:
 *
 *   node test/contract/bad-requests/record.ts --server URL --token TOKEN [--compare] [--only TEXT]
 *   (or --cert FILE --key FILE instead of the token)
 *
 * The answers committed here are upstream's: kube-apiserver v1.36.3 with its default feature gates and
 * without the admission plugins that change objects (ServiceAccount, DefaultTolerationSeconds,
 * Priority, TaintNodesByCondition, StorageObjectInUseProtection, RuntimeClass, PodTopologyLabels,
 * DefaultStorageClass, DefaultIngressClass, PersistentVolumeClaimResize), so that they show what
 * defaulting, strategies and validation do. It changes objects of the namespace `default`.
 */
import { isDeepStrictEqual } from 'node:util';
import { readFileSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { parseArgs } from 'node:util';
import {
  type Answer,
  type BoundCase,
  comparable,
  type Json,
  merge,
  readCases,
  type Recorded,
  type RecordedTable,
} from './table.ts';

const { values: options } = parseArgs({
  options: {
    server: { type: 'string' },
    token: { type: 'string', default: '' },
    compare: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
    cert: { type: 'string' },
    key: { type: 'string' },
  },
});
if (options.server === undefined) throw new Error('record: --server URL is missing');
const server = new URL(options.server);
// The judge runs on loopback with a certificate of its own making.
const agent = new Agent({
  keepAlive: true,
  rejectUnauthorized: false,
  ...(options.cert === undefined ? {} : { cert: readFileSync(options.cert) }),
  ...(options.key === undefined ? {} : { key: readFileSync(options.key) }),
});

interface Reply {
  readonly code: number;
  readonly body: Json;
}

async function send(method: string, path: string, body?: Json, accept = '*/*'): Promise<Reply> {
  const { promise, resolve, reject } = Promise.withResolvers<Reply>();
  const headers = {
    ...(options.token === '' ? {} : { authorization: `Bearer ${options.token}` }),
    'content-type': 'application/json',
    accept,
  };
  const outgoing = request(new URL(path, server), { method, headers, agent }, (incoming) => {
    let text = '';
    incoming.setEncoding('utf8');
    incoming.on('data', (chunk: string) => (text += chunk));
    incoming.on('error', reject);
    incoming.on('end', () => {
      const parsed: unknown = text.startsWith('{') ? JSON.parse(text) : { message: text };
      resolve({ code: incoming.statusCode ?? 0, body: parsed as Json }); // A Status or an object.
    });
  });
  outgoing.on('error', reject);
  outgoing.end(body === undefined ? undefined : JSON.stringify(body));
  return await promise;
}

const nameOf = (object: Json): string => {
  const metadata = object['metadata'] as Json; // Every base has one.
  return typeof metadata['name'] === 'string' ? metadata['name'] : '';
};

async function remove(entry: BoundCase): Promise<void> {
  const name = nameOf(entry.object);
  if (name === '') return;
  const path = `${entry.path}/${encodeURIComponent(name)}`;
  await send('DELETE', `${path}?gracePeriodSeconds=0`);
  const left = await send('GET', path);
  if (left.code !== 200) return;
  if (left.body['kind'] === 'Namespace') {
    // No controller empties it here.
    await send('PUT', `${path}/finalize`, merge(left.body, { spec: { finalizers: null } }) as Json); // A map.
    return;
  }
  const metadata = merge(left.body['metadata'], { finalizers: null });
  await send('PUT', path, { ...left.body, metadata });
}

function answerOf(reply: Reply): Answer {
  const { code, body } = reply;
  if (code < 300) return { code };
  const details = body['details'] as Json | undefined; // Of a Status.
  return {
    code,
    reason: body['reason'] as string | undefined, // Of a Status.
    message: body['message'] as string | undefined, // Of a Status.
    causes: details?.['causes'] as Json[] | undefined, // Of a Status.
  };
}

const TABLE = 'application/json;as=Table;v=v1;g=meta.k8s.io';

function tableFrom(body: Json, created: Json): RecordedTable {
  const definitions = body['columnDefinitions'] as Json[]; // Of a Table.
  const [row] = body['rows'] as { cells: unknown[]; object: Json }[]; // Of a Table.
  // Controllers may have changed it already.
  const isChanged = row !== undefined && !isDeepStrictEqual(row.object, created);
  return {
    columns: definitions.map(({ name, type, format, priority }) => [name, type, format, priority]),
    cells: row?.cells ?? [],
    ...(isChanged ? { object: row.object } : {}),
  };
}

async function tableAt(path: string, stored: Json): Promise<RecordedTable> {
  const { body } = await send('GET', `${path}?includeObject=Object`, undefined, TABLE);
  return tableFrom(body, stored);
}

async function play(entry: BoundCase): Promise<Recorded> {
  await remove(entry);
  const created = await send('POST', entry.path, entry.object);
  if (entry.update === undefined) {
    const answer = answerOf(created);
    if (created.code >= 300) return { answer };
    const table = await tableAt(`${entry.path}/${nameOf(created.body)}`, created.body);
    await remove(entry);
    return { answer, stored: created.body, table };
  }
  if (created.code >= 300) throw new Error(`${entry.key}: ${JSON.stringify(created.body)}`);
  const path = `${entry.path}/${encodeURIComponent(nameOf(entry.object))}`;
  const changed = merge(created.body, entry.update) as Json; // A map, as the object is.
  const target = entry.subresource === undefined ? path : `${path}/${entry.subresource}`;
  const reply = await send('PUT', target, changed);
  const isGood = reply.code < 300;
  const stored = isGood ? { stored: reply.body, table: await tableAt(path, reply.body) } : {};
  await remove(entry);
  const answer = answerOf(reply);
  return { answer, old: created.body, ...stored };
}

for (const folder of ['cases', 'good'] as const) {
  const file = new URL(`${folder}.gen.json`, import.meta.url);
  const recorded: Record<string, Recorded> = {};
  const known: Record<string, Recorded> = options.compare
    ? (((await import(file.href, { with: { type: 'json' } })) as { default: Json })
        .default as never) // Ours.
    : {};
  for (const entry of readCases(folder)) {
    if (!entry.key.includes(options.only)) continue;
    const now = await play(entry).catch((error: unknown): Recorded => {
      if (!options.compare) throw new Error(`${entry.key}: not answered`, { cause: error });
      return { answer: { code: 0, message: String(error) } };
    });
    recorded[entry.key] = now;
    const isAccepted = now.answer.code < 300;
    if (isAccepted !== (folder === 'good'))
      console.log(`${entry.key}: answered ${now.answer.code} ${now.answer.message ?? ''}`);
    const before = known[entry.key];
    if (before === undefined) continue;
    const [ours, theirs] = [now.answer, before.answer].map((a) => comparable(a, entry));
    if (!isDeepStrictEqual(ours, theirs)) console.log(`${entry.key}: differs`, ours, theirs);
  }
  console.log(`${folder}: ${Object.keys(recorded).length} requests`);
  const head = { $source: 'Recorded from kube-apiserver v1.36.3 by record.ts. Do not edit.' };
  if (!options.compare) {
    writeFileSync(file, `${JSON.stringify({ ...head, ...recorded }, undefined, 1)}\n`);
  }
}
agent.destroy();
