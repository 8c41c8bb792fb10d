/**
 * IP addresses and CIDRs as the API judges them. Old fields take any form that is not ambiguous (no
 * leading zeros, no IPv4 inside IPv6); new fields want the canonical form.
 * Source: apimachinery v0.36.3 pkg/util/validation/ip.go; canonical IPv6: RFC 5952.
 */

export interface IpAddress {
  readonly family: 4 | 6;
  /** Network order: 4 or 16 bytes; IPv4 inside IPv6 counts as IPv4. */
  readonly bytes: readonly number[];
  readonly hasLeadingZeros: boolean;
  readonly isMapped: boolean;
}

export interface Cidr {
  readonly address: IpAddress;
  readonly prefixLength: number;
  readonly hasLeadingZeros: boolean;
}

function parseV4(text: string): { bytes: number[]; zeros: boolean } | undefined {
  const parts = text.split('.');
  if (parts.length !== 4 || parts.some((part) => !/^\d+$/.test(part))) return undefined;
  const bytes = parts.map(Number);
  if (bytes.some((byte) => byte > 255)) return undefined;
  return { bytes, zeros: parts.some((part) => part.length > 1 && part.startsWith('0')) };
}

function parseGroups(text: string): number[] | undefined {
  if (text === '') return [];
  const bytes: number[] = [];
  const groups = text.split(':');
  for (const [i, group] of groups.entries()) {
    if (i === groups.length - 1 && group.includes('.')) {
      const v4 = parseV4(group);
      if (v4 === undefined || v4.zeros) return undefined;
      bytes.push(...v4.bytes);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return undefined;
      const value = Number.parseInt(group, 16);
      bytes.push(value >> 8, value & 0xff);
    }
  }
  return bytes;
}

function parseV6(text: string): number[] | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = parseGroups(halves[0] ?? '');
  if (head === undefined) return undefined;
  if (halves.length === 1) return head.length === 16 ? head : undefined;
  const tail = parseGroups(halves[1] ?? '');
  if (tail === undefined || head.length + tail.length > 14) return undefined;
  const zeros = Array.from({ length: 16 - head.length - tail.length }, () => 0);
  return [...head, ...zeros, ...tail];
}

/** Undefined if the text is no address even in the loosest reading. */
export function parseIp(text: string): IpAddress | undefined {
  if (!text.includes(':')) {
    const v4 = parseV4(text);
    if (v4 === undefined) return undefined;
    return { family: 4, bytes: v4.bytes, hasLeadingZeros: v4.zeros, isMapped: false };
  }
  const bytes = parseV6(text);
  if (bytes === undefined) return undefined;
  const isMapped =
    bytes.slice(0, 10).every((b) => b === 0) && bytes[10] === 255 && bytes[11] === 255;
  if (isMapped) return { family: 4, bytes: bytes.slice(12), hasLeadingZeros: false, isMapped };
  return { family: 6, bytes, hasLeadingZeros: false, isMapped };
}

export function formatIp(address: Pick<IpAddress, 'family' | 'bytes'>): string {
  if (address.family === 4) return address.bytes.join('.');
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) {
    groups.push(((address.bytes[i] ?? 0) << 8) | (address.bytes[i + 1] ?? 0));
  }
  const run = longestZeroRun(groups);
  const hex = (part: readonly number[]): string => part.map((g) => g.toString(16)).join(':');
  if (run.length < 2) return hex(groups);
  return `${hex(groups.slice(0, run.start))}::${hex(groups.slice(run.start + run.length))}`;
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (groups[start + length] === 0) length += 1;
    if (length > best.length) best = { start, length };
  }
  return best;
}

export function parseCidr(text: string): Cidr | undefined {
  const [ip, length, ...rest] = text.split('/');
  if (ip === undefined || length === undefined || rest.length > 0) return undefined;
  const address = parseIp(ip);
  if (address === undefined || !/^\d+$/.test(length)) return undefined;
  const bits = address.family === 6 || address.isMapped ? 128 : 32;
  const prefixLength = Number(length);
  if (prefixLength > bits) return undefined;
  const zeros = address.hasLeadingZeros || (length.length > 1 && length.startsWith('0'));
  return { address, prefixLength, hasLeadingZeros: zeros };
}

/** The network's first address; host bits cleared. */
export function maskedBytes(cidr: Cidr): number[] {
  return cidr.address.bytes.map((byte, i) => {
    const bits = Math.min(8, Math.max(0, cidr.prefixLength - i * 8));
    return byte & (0xff << (8 - bits)) & 0xff;
  });
}

export function formatCidr(cidr: Cidr): string {
  const { family } = cidr.address;
  return `${formatIp({ family, bytes: maskedBytes(cidr) })}/${cidr.prefixLength}`;
}

/** Complaints about an address in a field older than strict parsing. */
export function checkIp(text: string): string[] {
  const address = parseIp(text);
  if (address === undefined) {
    return ['must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'];
  }
  if (address.hasLeadingZeros) return ['must not have leading 0s'];
  return address.isMapped ? ['must not be an IPv4-mapped IPv6 address'] : [];
}

/** As checkIp, and the canonical form is demanded. */
export function checkCanonicalIp(text: string): string[] {
  const messages = checkIp(text);
  const address = parseIp(text);
  if (messages.length > 0 || address === undefined) return messages;
  const canonical = formatIp(address);
  return canonical === text ? [] : [`must be in canonical form ("${canonical}")`];
}

export function checkCidr(text: string): string[] {
  const cidr = parseCidr(text);
  if (cidr === undefined) {
    return ['must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)'];
  }
  if (cidr.hasLeadingZeros) return ['must not have leading 0s in IP or prefix length'];
  if (cidr.address.isMapped) return ['must not have an IPv4-mapped IPv6 address'];
  const masked = maskedBytes(cidr);
  const hasHostBits = masked.some((byte, i) => byte !== cidr.address.bytes[i]);
  return hasHostBits ? ['must not have bits set beyond the prefix length'] : [];
}

export function checkCanonicalCidr(text: string): string[] {
  const messages = checkCidr(text);
  const cidr = parseCidr(text);
  if (messages.length > 0 || cidr === undefined) return messages;
  const canonical = formatCidr(cidr);
  return canonical === text ? [] : [`must be in canonical form ("${canonical}")`];
}

export function ipFamily(text: string): 4 | 6 | undefined {
  return parseIp(text)?.family;
}
