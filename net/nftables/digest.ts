/**
 * A rule's digest stands as its comment in the kernel. The kernel returns expressions in a form of
 * its own, so wanted and present rules are compared by digest: rules of our tables are written by
 * nobody else, and a rule cannot change without being replaced. Pure.
 */
import { fnv1a32 } from '#base/fnv1a.ts';
import { NetlinkWriter } from '#net/netlink/port.ts';
import { binaryOf } from './binary.ts';
import { writeExpressions } from './expression.ts';
import type { Rule } from './model.ts';

export function ruleDigest(rule: Rule): string {
  const writer = new NetlinkWriter();
  writer.message({ type: 0, flags: 0 }, () => writeExpressions(writer, 1, rule));
  const text = binaryOf(writer.bytes.subarray(16));
  const halves = [fnv1a32(text), fnv1a32(text, 0x2b5d3c71)];
  return halves.map((half) => half.toString(16).padStart(8, '0')).join('');
}
