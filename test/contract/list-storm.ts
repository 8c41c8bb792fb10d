/**
 * A storm of lists against an API server whose store leads a group of three: many times more than it may
 * hold is asked for at once, by readers that take their time, in every form. The process must not end,
 * its store must go on leading, and whoever wants little must be served.
 *   node test/contract/list-storm.ts --minutes 10
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import * as http2 from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { must } from '#base/assert.ts';
import { type ClusterFiles, writeClusterFiles } from '#control/api/testing/cluster-files.ts';
import type { OwnStore } from '#control/store/store.ts';
import { freePort } from './free-ports.ts';
import { freeAddress, StoreGroup } from './store-process.ts';

const CONTROL = join(import.meta.dirname, '../../control/main.ts');
const HEAP_MIB = 192;
const BUDGET_BYTES = 64 * 1024 * 1024;
/** Together ten times the budget. */
const OBJECTS = 1600;
const OBJECT_BYTES = 4000;
const READERS = 100;
const READ_MS_MAX = 2000;
const PATH = '/api/v1/namespaces/default/configmaps';
const FORMS = [
  'application/json',
  'application/json;as=Table;v=v1;g=meta.k8s.io',
  'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io',
  'application/yaml',
  'application/vnd.kubernetes.protobuf',
];

export interface StormReport {
  /** Lists by status. */
  readonly lists: Readonly<Record<number, number>>;
  readonly writes: number;
  readonly putMsMax: number;
  readonly writeMsMax: number;
  readonly leaderChanges: number;
  readonly residentBytesMax: number;
}

/** Throws when a request is answered otherwise than 200, 201 or 429, or control ends. */
export async function storm(durationMs: number): Promise<StormReport> {
  const { signal } = new AbortController();
  const directory = mkdtempSync(join(tmpdir(), 'list-storm-'));
  const port = await freePort();
  const files = await writeClusterFiles(directory, port);
  const group = await StoreGroup.start({}, signal, {
    address: freeAddress,
    enter: (_number, run) => run(),
    program(number, config, path) {
      if (number > 0) return undefined;
      const { dataDir: _, ...store } = config as { dataDir: string };
      const control = {
        nodeName: 'test',
        dataDir: directory,
        listen: { host: '127.0.0.1', port },
        advertiseAddress: '192.0.2.1',
        pkiDir: files.pkiDir,
        requestMemoryBytes: BUDGET_BYTES,
        store,
      };
      writeFileSync(path, JSON.stringify(control));
      return [`--max-old-space-size=${HEAP_MIB}`, CONTROL, path];
    },
  });
  try {
    const store = await group.connect([0], signal);
    await fill(files, port);
    return await new Storm(files, port, { group, store }).run(durationMs);
  } finally {
    await group[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true, force: true });
  }
}

class Storm {
  readonly #files: ClusterFiles;
  readonly #port: number;
  readonly #group: StoreGroup;
  readonly #store: OwnStore;
  readonly #lists: Record<number, number> = {};
  #writes = 0;
  #putMsMax = 0;
  #writeMsMax = 0;
  #residentBytesMax = 0;
  #isOver = false;

  constructor(
    files: ClusterFiles,
    port: number,
    parts: { readonly group: StoreGroup; readonly store: OwnStore },
  ) {
    this.#files = files;
    this.#port = port;
    this.#group = parts.group;
    this.#store = parts.store;
  }

  async run(durationMs: number): Promise<StormReport> {
    const { signal } = new AbortController();
    const before = await this.#store.memberStatus(signal);
    const control = must(this.#group.members[0], 'control is the first member');
    const tasks = [
      ...Array.from({ length: READERS }, (_, number) => this.#read(number)),
      this.#put(),
      this.#write(),
    ];
    const all = Promise.all(tasks);
    all.catch(() => {}); // Awaited below.
    for (const endMs = performance.now() + durationMs; performance.now() < endMs; ) {
      await Promise.race([sleep(500), all]);
      if (!control.isAlive) throw new Error(`control ended: ${control.logged.slice(-20).join('')}`);
      this.#residentBytesMax = Math.max(this.#residentBytesMax, control.residentBytes);
    }
    this.#isOver = true;
    await all;
    const after = await this.#store.memberStatus(signal);
    return {
      lists: this.#lists,
      writes: this.#writes,
      putMsMax: Math.round(this.#putMsMax),
      writeMsMax: Math.round(this.#writeMsMax),
      leaderChanges: after.raftTerm - before.raftTerm,
      residentBytesMax: this.#residentBytesMax,
    };
  }

  /** Lists, takes the answer slowly, and lists again. */
  async #read(number: number): Promise<void> {
    const session = connect(this.#files, this.#port);
    const accept = must(FORMS[number % FORMS.length], 'a form');
    while (!this.#isOver) {
      const stream = session.request({ ':path': PATH, accept });
      const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
      const status = Number(headers[':status']);
      this.#lists[status] = (this.#lists[status] ?? 0) + 1;
      if (status !== 200 && status !== 429) throw new Error(`a list was answered ${status}`);
      await sleep(Math.random() * READ_MS_MAX);
      stream.resume();
      await once(stream, 'end');
    }
    session.close();
  }

  /** Straight to the store, on its own socket. */
  async #put(): Promise<void> {
    const request = { key: 'storm', value: Buffer.from('x') };
    const txn = { compare: [], success: [{ kind: 'put', request } as const], failure: [] };
    while (!this.#isOver) {
      const startMs = performance.now();
      await this.#store.txn(txn, new AbortController().signal);
      this.#putMsMax = Math.max(this.#putMsMax, performance.now() - startMs);
      await sleep(20);
    }
  }

  /** Small writes through the API server. */
  async #write(): Promise<void> {
    const session = connect(this.#files, this.#port);
    for (let number = 0; !this.#isOver; number++) {
      const startMs = performance.now();
      const status = await create(session, `w${number}`, 10);
      if (status !== 201 && status !== 429) throw new Error(`a write was answered ${status}`);
      if (status === 201) this.#writes++;
      this.#writeMsMax = Math.max(this.#writeMsMax, performance.now() - startMs);
      await sleep(100);
    }
    session.close();
  }
}

async function fill(files: ClusterFiles, port: number): Promise<void> {
  const session = connect(files, port);
  for (let number = 0; number < OBJECTS; number += 50) {
    const names = Array.from({ length: 50 }, (_, i) => `c${number + i}`);
    const statuses = await Promise.all(names.map((name) => create(session, name, OBJECT_BYTES)));
    if (statuses.some((status) => status !== 201))
      throw new Error(`filling: ${statuses.join(' ')}`);
  }
  session.close();
}

function connect(files: ClusterFiles, port: number): http2.ClientHttp2Session {
  const { certificate: cert, key } = files.admin;
  const session = http2.connect(`https://127.0.0.1:${port}`, {
    ca: files.ca.certificate,
    cert,
    key,
  });
  session.on('error', () => {}); // Its streams fail, too.
  return session;
}

async function create(
  session: http2.ClientHttp2Session,
  name: string,
  length: number,
): Promise<number> {
  const body = JSON.stringify({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name },
    data: { text: 'x'.repeat(length) },
  });
  const headers = { ':method': 'POST', ':path': PATH, 'content-type': 'application/json' };
  const stream = session.request(headers);
  stream.end(body);
  const [answer] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
  stream.resume();
  await once(stream, 'end');
  return Number(answer[':status']);
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { minutes: { type: 'string', default: '10' } } });
  console.log(await storm(Number(values.minutes) * 60_000));
}
