/** Arithmetic on an IPv4 range in CIDR notation. Pure. */

export interface Ipv4Range {
  readonly cidr: string;
  readonly base: number;
  readonly size: number;
}

function parseAddress(text: string): number | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return undefined;
  const bytes = match.slice(1).map(Number);
  if (bytes.some((byte) => byte > 255)) return undefined;
  return bytes.reduce((value, byte) => value * 256 + byte, 0);
}

/** Throws when `cidr` is no IPv4 range. */
export function parseIpv4Range(cidr: string): Ipv4Range {
  const [address = '', bits = ''] = cidr.split('/');
  const value = parseAddress(address);
  const length = Number(bits);
  if (value === undefined || !Number.isInteger(length) || length < 8 || length > 30) {
    throw new Error(`not an IPv4 range: ${cidr}`);
  }
  const size = 2 ** (32 - length);
  return { cidr, base: value - (value % size), size };
}

export function addressAt(range: Ipv4Range, offset: number): string {
  const value = range.base + offset;
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');
}

/** Position of an address in the range, undefined outside. */
export function offsetOf(range: Ipv4Range, address: string): number | undefined {
  const value = parseAddress(address);
  if (value === undefined) return undefined;
  const offset = value - range.base;
  return offset >= 0 && offset < range.size ? offset : undefined;
}
