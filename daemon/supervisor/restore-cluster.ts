/**
 * `Restore` of the machine API: starts the cluster on this node from a snapshot of its store, in place of
 * bootstrap. All of it happens in a directory beside the store to be, which control's own program fills; the
 * record that the cluster was bootstrapped is what makes it count. Control then takes the store from there
 * (control/restored-store.ts). Without the record the directory is what a failure or a power cut has left, and
 * goes: at the next start, with the next attempt, or before an empty cluster is bootstrapped.
 *
 *   idle -> receiving, making (bootstrap is refused) -> bootstrapped | idle
 */
import { chownSync, closeSync, fsyncSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import * as z from 'zod';
import { errorText, isErrno } from '#base/errors.ts';
import type { RestoreResponse } from '#base/protocol/bareboat.gen.ts';
import { ProtocolError } from '#base/protocol/frames.ts';
import { runControl } from './control-program.ts';
import type { ControlProgram } from './control-program.ts';
import type { EventLog } from './events.ts';

/** What control's program says (control/restored-store.ts). */
const restored = z.object({ revision: z.int() });

/** The cluster of this node (supervisor.ts). */
export interface NodeCluster {
  readonly state: { readonly bootstrapped: boolean };
  readonly events: Pick<EventLog, 'add'>;
  /** Throws ProtocolError unless the cluster may begin on this node, and has not. */
  requireNoCluster(): void;
  /** The record is durable before anything is started. */
  bootstrap(): Promise<void>;
}

export class ClusterRestore {
  readonly #cluster: NodeCluster;
  readonly #program: ControlProgram;
  readonly #staging: string;
  #isRunning = false;

  constructor(cluster: NodeCluster, program: ControlProgram) {
    this.#cluster = cluster;
    this.#program = program;
    this.#staging = join(program.dir, 'restore');
  }

  /** At the start: what an attempt has left that came to nothing goes. */
  tidy(): void {
    if (this.#cluster.state.bootstrapped) return; // It is control's.
    try {
      rmSync(this.#staging, { recursive: true, force: true });
    } catch (error) {
      const text = `what a restore has left cannot be removed: ${errorText(error)}`;
      this.#cluster.events.add('machine', text, 'warning');
    }
  }

  /** Begins an empty cluster. Throws ProtocolError, FAILED_PRECONDITION while a snapshot is restored. */
  async bootstrap(): Promise<void> {
    this.#requireIdle();
    // Else control would take it for its store.
    rmSync(this.#staging, { recursive: true, force: true });
    await this.#cluster.bootstrap();
  }

  /** Throws ProtocolError that names what is wrong with the machine or the snapshot. */
  async run(
    chunks: AsyncIterable<{ readonly data: Uint8Array }>,
    signal: AbortSignal,
  ): Promise<RestoreResponse> {
    this.#requireIdle();
    this.#isRunning = true;
    try {
      const file = join(this.#staging, 'restore.snapshot');
      this.#begin();
      await receive(chunks, file);
      chownSync(file, this.#program.uid, this.#program.uid);
      signal.throwIfAborted();
      // From here on it comes to an end, whatever becomes of the client.
      const args = ['--restore', file, this.#program.dir];
      const { revision } = await runControl(this.#program, args, restored);
      await this.#cluster.bootstrap();
      return { revision };
    } finally {
      this.#isRunning = false;
      this.tidy();
    }
  }

  #requireIdle(): void {
    this.#cluster.requireNoCluster();
    if (!this.#isRunning) return;
    throw new ProtocolError('FAILED_PRECONDITION', 'a snapshot is being restored');
  }

  /** An empty directory that is there after a power cut, too. */
  #begin(): void {
    const { dir, uid } = this.#program;
    rmSync(this.#staging, { recursive: true, force: true });
    mkdirSync(this.#staging, { recursive: true });
    for (const each of [dir, this.#staging]) chownSync(each, uid, uid);
    for (const each of [dirname(dir), dir]) syncDirectory(each);
  }
}

async function receive(
  chunks: AsyncIterable<{ readonly data: Uint8Array }>,
  file: string,
): Promise<void> {
  const fd = openSync(file, 'w', 0o600);
  try {
    for await (const { data } of chunks) {
      for (let done = 0; done < data.length; ) done += writeSync(fd, data, done);
    }
    fsyncSync(fd);
  } catch (error) {
    if (!isErrno(error, 'ENOSPC', 'EDQUOT')) throw error;
    throw new ProtocolError('RESOURCE_EXHAUSTED', 'no room for the snapshot on STORE', {
      cause: error,
    });
  } finally {
    closeSync(fd);
  }
}

function syncDirectory(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
