/** What tests of small simulated groups share. */
import type { TxnRequest } from '#control/store/store.ts';

/** Checkpoints, segments and snapshots come often. */
export const SMALL = {
  checkpointLogBytes: 20_000,
  segmentBytes: 20_000,
  preallocateBytes: 4096,
  ballastPieceBytes: 512,
  logTailEntries: 10,
};

export function put(key: string, value: string | Uint8Array): TxnRequest {
  const request = { key, value: Buffer.from(value) };
  return { compare: [], success: [{ kind: 'put', request }], failure: [] };
}
