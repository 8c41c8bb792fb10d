/** Digests that native code computes; the adapters of the store bring them. */

/** CRC-32 (polynomial of IEEE 802.3) of `bytes`, going on from `seed`. */
export type Crc32 = (bytes: Uint8Array, seed: number) => number;
