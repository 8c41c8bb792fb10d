/**
 * The allocations of net/pod on disk: JSON, replaced as a whole (temporary file, fsync, rename, fsync
 * of the folder), so that a crash at any moment leaves the old or the new text. Owner: pod.ts.
 */
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import * as z from 'zod';
import { isErrno } from '#base/errors.ts';
import { EMPTY_IPAM, type IpamState } from './ipam.ts';

const allocationsSchema = z.object({
  version: z.literal(1),
  nextIndex: z.int().nonnegative(),
  allocations: z.array(
    z.object({
      sandboxId: z.string(),
      ip: z.string(),
      linkName: z.string(),
      hostPorts: z.array(
        z.object({
          protocol: z.enum(['TCP', 'UDP', 'SCTP']),
          containerPort: z.int(),
          hostPort: z.int(),
          hostIP: z.string(),
        }),
      ),
    }),
  ),
});

/**
 * The saved state, or an empty one when nothing was saved. A file that cannot be understood is
 * renamed to `PATH.broken` and reported by `onBroken`: the node goes on, and keeps the evidence.
 */
export function loadAllocations(path: string, onBroken: (cause: unknown) => void): IpamState {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return EMPTY_IPAM; // First start.
    throw error;
  }
  try {
    const saved = allocationsSchema.parse(JSON.parse(text));
    const allocations = new Map(saved.allocations.map((entry) => [entry.sandboxId, entry]));
    return { nextIndex: saved.nextIndex, allocations };
  } catch (error) {
    renameSync(path, `${path}.broken`);
    onBroken(error);
    return EMPTY_IPAM;
  }
}

export function saveAllocations(path: string, state: IpamState): void {
  const saved: z.infer<typeof allocationsSchema> = {
    version: 1,
    nextIndex: state.nextIndex,
    allocations: [...state.allocations.values()].map((entry) => ({
      ...entry,
      hostPorts: [...entry.hostPorts],
    })),
  };
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.tmp`;
  const fd = openSync(temporary, 'w', 0o600);
  try {
    writeSync(fd, JSON.stringify(saved));
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, path);
  syncDirectory(dirname(path));
}

function syncDirectory(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
