/** Requests of one client for snapshots (codec/frame.ts), answered from the member's Backups. */
import type { ByteReader } from '../codec/bytes.ts';
import { REQUEST } from '../codec/frame.ts';
import { writeSnapshotInfo } from '../codec/reply.ts';
import { StoreError } from '../port.ts';
import type { Backups } from './backups.ts';
import type { Connection } from './connection.ts';
import type { Consensus } from './consensus.ts';
import type { StateMachine } from './state-machine.ts';

export function isSnapshotRequest(kind: number): boolean {
  return kind >= REQUEST.snapshotOpen && kind <= REQUEST.snapshotClose;
}

export function serveSnapshot(
  parts: { readonly backups: Backups; readonly consensus: Consensus; readonly state: StateMachine },
  connection: Connection,
  request: { readonly id: number; readonly kind: number; readonly body: ByteReader },
): void {
  const { backups, consensus, state } = parts;
  const { id, kind, body } = request;
  if (kind === REQUEST.snapshotOpen) {
    // Behind a quorum round: what was acknowledged before the question is in it.
    consensus.read((refused) => {
      if (refused !== undefined) return connection.refuse(id, refused);
      return backups.open(connection, state.appliedIndex, (result) => {
        if (result instanceof StoreError) connection.refuse(id, result);
        else connection.answer(id, (out) => writeSnapshotInfo(out, result));
      });
    });
    return;
  }
  const handle = body.varint();
  if (kind === REQUEST.snapshotRead) {
    const piece = { at: body.varint(), length: body.varint() };
    connection.answer(id, (out) => out.bytes(backups.read(connection, handle, piece)));
  } else connection.answer(id, () => backups.close(connection, handle));
}
