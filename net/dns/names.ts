/** Addresses inside names: reverse names (RFC 1035 3.5, RFC 3596 2.5) and dashed ones. Pure. */
import { formatIp, parseIp } from '#base/ip.ts';

/** `4.3.2.1.in-addr.arpa` -> `1.2.3.4`; undefined for other names, shorter ones too. */
export function addressOfReverseName(name: string): string | undefined {
  if (name.endsWith('.in-addr.arpa')) {
    const text = name.slice(0, -'.in-addr.arpa'.length).split('.').reverse().join('.');
    const bytes = parseIp(text);
    return bytes?.length === 4 ? formatIp(bytes) : undefined;
  }
  if (!name.endsWith('.ip6.arpa')) return undefined;
  const nibbles = name.slice(0, -'.ip6.arpa'.length).split('.').reverse();
  if (nibbles.length !== 32 || !nibbles.every((nibble) => /^[0-9a-f]$/.test(nibble))) {
    return undefined;
  }
  const groups = nibbles.join('').match(/.{4}/g) ?? [];
  const bytes = parseIp(groups.join(':'));
  return bytes === undefined ? undefined : formatIp(bytes);
}

/** `10-244-0-5` -> `10.244.0.5`, `fd00--5` -> `fd00::5`. */
export function addressOfDashedName(label: string): string | undefined {
  const bytes = parseIp(label.replaceAll('-', '.')) ?? parseIp(label.replaceAll('-', ':'));
  return bytes === undefined ? undefined : formatIp(bytes);
}

export function dashedName(ip: string): string {
  return ip.replaceAll(/[.:]/g, '-');
}
