/**
 * `Restore` of the machine API: starts the cluster on this node from a snapshot of its store, in place of
 * bootstrap. The snapshot is kept beside the store to be until control's own program has read it as a whole
 * and made a store of it; whatever goes wrong before leaves the machine as it was.
 */
import { spawn } from 'node:child_process';
import { chownSync, closeSync, fsyncSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { must } from '#base/assert.ts';
import { isErrno } from '#base/errors.ts';
import type { RestoreResponse } from '#base/protocol/bareboat.gen.ts';
import { ProtocolError } from '#base/protocol/frames.ts';
import type { ProtocolErrorCode } from '#base/protocol/frames.ts';
import type { Supervisor } from './supervisor.ts';
import { PLACES, UID, UNIT_SPECS } from './unit-specs.ts';

const FILE = join(PLACES.control, 'restore.snapshot');

/** What control says (control/restore-command.ts). */
const said = z.union([
  z.object({ revision: z.int() }),
  z.object({ code: z.string(), message: z.string() }),
]);

const CODES: Readonly<Record<string, ProtocolErrorCode>> = {
  CORRUPT: 'INVALID_ARGUMENT',
  UNSUPPORTED: 'INVALID_ARGUMENT',
  INVALID_REQUEST: 'FAILED_PRECONDITION',
  NO_SPACE: 'RESOURCE_EXHAUSTED',
};

export class ClusterRestore {
  readonly #supervisor: Supervisor;
  #isRunning = false;

  constructor(supervisor: Supervisor) {
    this.#supervisor = supervisor;
  }

  /** Throws ProtocolError that names what is wrong with the machine or the snapshot. */
  async run(
    chunks: AsyncIterable<{ readonly data: Uint8Array }>,
    signal: AbortSignal,
  ): Promise<RestoreResponse> {
    this.#supervisor.requireNoCluster();
    if (this.#isRunning) {
      throw new ProtocolError('FAILED_PRECONDITION', 'another snapshot is being restored');
    }
    this.#isRunning = true;
    try {
      await receive(chunks);
      signal.throwIfAborted();
      // From here on it comes to an end, whatever becomes of the client: a store without a cluster would bar
      // the next attempt.
      const revision = await makeStore();
      await this.#supervisor.bootstrap();
      return { revision };
    } finally {
      this.#isRunning = false;
      rmSync(FILE, { force: true });
    }
  }
}

async function receive(chunks: AsyncIterable<{ readonly data: Uint8Array }>): Promise<void> {
  mkdirSync(PLACES.control, { recursive: true });
  chownSync(PLACES.control, UID.control, UID.control);
  const fd = openSync(FILE, 'w', 0o600);
  try {
    for await (const { data } of chunks) {
      for (let done = 0; done < data.length; ) done += writeSync(fd, data, done);
    }
    fsyncSync(fd);
    chownSync(FILE, UID.control, UID.control);
  } catch (error) {
    if (!isErrno(error, 'ENOSPC', 'EDQUOT')) throw error;
    throw new ProtocolError('RESOURCE_EXHAUSTED', 'no room for the snapshot on STORE', {
      cause: error,
    });
  } finally {
    closeSync(fd);
  }
}

/** Resolves to the revision that the store begins with. */
async function makeStore(): Promise<number> {
  const { argv, env, uid } = must(
    UNIT_SPECS.find(({ name }) => name === 'control'),
    'control is a unit',
  );
  const [program, ...args] = argv;
  const own = args.slice(0, -1); // Without its configuration.
  const child = spawn(program, [...own, '--restore', FILE, PLACES.control], {
    cwd: '/',
    uid,
    gid: uid,
    env: { ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const answers: string[] = [];
  const warnings: string[] = [];
  child.stdout.setEncoding('utf8').on('data', (text: string) => answers.push(text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => warnings.push(text));
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', () => resolve());
  });
  const answer = parseSaid(answers.join('') || warnings.join(''));
  if ('revision' in answer) return answer.revision;
  const code = CODES[answer.code] ?? 'INTERNAL';
  throw new ProtocolError(code, answer.message, { details: { reason: answer.code } });
}

function parseSaid(text: string): z.infer<typeof said> {
  const line = text.trimEnd().split('\n').at(-1) ?? '';
  try {
    return said.parse(JSON.parse(line));
  } catch {
    return { code: 'INTERNAL', message: `snapshot could not be restored: ${line}` };
  }
}
