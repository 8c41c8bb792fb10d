/** Digests that native code computes; the adapters of the store bring them. */

/** CRC-32 (polynomial of IEEE 802.3) of `bytes`, going on from `seed`. */
export type Crc32 = (bytes: Uint8Array, seed: number) => number;

/** SHA-256 of `bytes`: 32 bytes. */
export type Sha256 = (bytes: Uint8Array) => Uint8Array;

export const SHA256_BYTES = 32;
