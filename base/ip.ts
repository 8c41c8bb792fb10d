/**
 * IP addresses and prefixes as bytes: 4 (IPv4) or 16 (IPv6) in network order. Text is parsed
 * strictly (no leading zeros, no zones, no shorthand such as `10.1`) and formatted as RFC 5952 says,
 * so equal addresses have equal text. Pure; used by net/, the API server's allocators and the
 * supervisor.
 */

export type IpFamily = 4 | 6;

export interface Cidr {
  readonly family: IpFamily;
  /** As written; host bits may be set. `networkOf` clears them. */
  readonly address: Uint8Array;
  readonly prefixLength: number;
}

const DOT = 46;
const ZERO = 48;

/** The bytes of an address, or undefined when `text` is none. */
export function parseIp(text: string): Uint8Array | undefined {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

/** By character: the proxy parses the addresses of tens of thousands of endpoints. */
function parseIpv4(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(4);
  let index = 0;
  let value = 0;
  let digits = 0;
  for (let i = 0; i <= text.length; i++) {
    const char = i < text.length ? text.charCodeAt(i) : DOT;
    if (char === DOT) {
      if (digits === 0 || index > 3 || value > 255) return undefined;
      bytes[index++] = value;
      value = 0;
      digits = 0;
      continue;
    }
    const digit = char - ZERO;
    const leadingZero = digits === 1 && value === 0;
    if (digit < 0 || digit > 9 || digits === 3 || leadingZero) return undefined;
    value = value * 10 + digit;
    digits++;
  }
  return index === 4 ? bytes : undefined;
}

function parseIpv6(text: string): Uint8Array | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const groups = halves.map((half, i) => parseGroups(half, i === halves.length - 1));
  const [head, tail] = groups;
  if (head === undefined || (groups.length === 2 && tail === undefined)) return undefined;
  const missing = 8 - head.length - (tail?.length ?? 0);
  if (tail === undefined ? missing !== 0 : missing < 1) return undefined;
  const all = [...head, ...Array<number>(missing).fill(0), ...(tail ?? [])];
  const bytes = new Uint8Array(16);
  for (const [i, group] of all.entries()) {
    bytes[i * 2] = group >> 8;
    bytes[i * 2 + 1] = group & 0xff;
  }
  return bytes;
}

/** 16-bit groups of one side of `::`; a dotted quad may end the last side and counts as two. */
function parseGroups(text: string, last: boolean): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [i, part] of parts.entries()) {
    if (part.includes('.')) {
      const quad = parseIpv4(part);
      if (quad === undefined || !last || i !== parts.length - 1) return undefined;
      const [a = 0, b = 0, c = 0, d = 0] = quad;
      groups.push((a << 8) | b, (c << 8) | d);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
      groups.push(Number.parseInt(part, 16));
    }
  }
  return groups;
}

/** Canonical text of 4 or 16 bytes. */
export function formatIp(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0));
  const run = longestZeroRun(groups);
  const hex = (part: readonly number[]) => part.map((group) => group.toString(16)).join(':');
  if (run.length < 2) return hex(groups);
  return `${hex(groups.slice(0, run.start))}::${hex(groups.slice(run.start + run.length))}`;
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  return best;
}

/** `10.244.0.0/16`; undefined when `text` is no prefix. */
export function parseCidr(text: string): Cidr | undefined {
  const match = /^([^/]+)\/(0|[1-9][0-9]{0,2})$/.exec(text);
  const address = match?.[1] === undefined ? undefined : parseIp(match[1]);
  const prefixLength = Number(match?.[2]);
  if (address === undefined || prefixLength > address.length * 8) return undefined;
  return { family: address.length === 4 ? 4 : 6, address, prefixLength };
}

export function formatCidr(cidr: Cidr): string {
  return `${formatIp(cidr.address)}/${cidr.prefixLength}`;
}

/** `prefixLength` ones, as bytes of an address of `family`. */
export function maskOf(family: IpFamily, prefixLength: number): Uint8Array {
  const mask = new Uint8Array(family === 4 ? 4 : 16);
  for (let bit = 0; bit < prefixLength; bit++) {
    mask[bit >> 3] = (mask[bit >> 3] ?? 0) | (0x80 >> (bit & 7));
  }
  return mask;
}

/** The same prefix with its host bits cleared. */
export function networkOf(cidr: Cidr): Cidr {
  const mask = maskOf(cidr.family, cidr.prefixLength);
  return { ...cidr, address: cidr.address.map((byte, i) => byte & (mask[i] ?? 0)) };
}

export function cidrContains(cidr: Cidr, address: Uint8Array): boolean {
  if (address.length !== cidr.address.length) return false;
  const mask = maskOf(cidr.family, cidr.prefixLength);
  return mask.every((bits, i) => ((address[i] ?? 0) & bits) === ((cidr.address[i] ?? 0) & bits));
}

/** Addresses in the prefix, or Infinity beyond 2^53. */
export function cidrSize(cidr: Cidr): number {
  const hostBits = cidr.address.length * 8 - cidr.prefixLength;
  return hostBits > 53 ? Number.POSITIVE_INFINITY : 2 ** hostBits;
}

/** The address `index` after the first of the prefix; throws RangeError outside of it. */
export function addressAt(cidr: Cidr, index: number): Uint8Array {
  if (!Number.isSafeInteger(index) || index < 0 || index >= cidrSize(cidr)) {
    throw new RangeError(`no address ${index} in ${formatCidr(cidr)}`);
  }
  const bytes = networkOf(cidr).address.slice();
  let rest = index;
  for (let i = bytes.length - 1; rest > 0; i--) {
    const sum = (bytes[i] ?? 0) + (rest % 256);
    bytes[i] = sum & 0xff;
    rest = Math.floor(rest / 256) + (sum >> 8);
  }
  return bytes;
}

/** The inverse of `addressAt`; undefined for addresses outside. */
export function indexOfAddress(cidr: Cidr, address: Uint8Array): number | undefined {
  if (!cidrContains(cidr, address)) return undefined;
  const network = networkOf(cidr).address;
  let index = 0;
  for (const [i, byte] of address.entries()) index = index * 256 + (byte - (network[i] ?? 0));
  return index;
}

/** The address of a peer as people write it: sockets for both families show IPv4 inside of IPv6. */
export function plainAddress(text: string | undefined): string {
  return text?.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/, '') ?? '';
}
