/**
 * Kubernetes' protobuf content type: the envelope around a message, lists joined from encoded items,
 * and frames of a watch.
 *
 * | bytes | what                                                                           |
 * |-------|--------------------------------------------------------------------------------|
 * | 4     | `k8s\0`                                                                        |
 * | rest  | Unknown{1 typeMeta{1 apiVersion, 2 kind}, 2 raw, 3 contentEncoding, 4 contentType} |
 */
import { must } from '#base/assert.ts';
import {
  type ApiObject,
  formatApiVersion,
  type GroupVersionKind,
  parseApiVersion,
  SchemaError,
} from './gvk.ts';
import { type Decoded, type DecodeOptions, mustKindType } from './json-codec.ts';
import { decodeStruct } from './proto-decode.ts';
import { encodeStruct } from './proto-encode.ts';
import { ProtoReader } from './proto-reader.ts';
import { BYTES, ProtoWriter } from './proto-writer.ts';
import { structType } from './types.ts';

const MAGIC = Uint8Array.from([0x6b, 0x38, 0x73, 0x00]);

/** One buffer for all: encoding is synchronous and does not nest. */
const writer = new ProtoWriter();

/** Runs `write` and returns its bytes; leaves nothing behind when it throws. */
function written(write: (w: ProtoWriter) => void): Uint8Array {
  writer.reset();
  write(writer);
  return writer.take();
}

/** Puts the envelope around the message written since the writer was empty. */
function envelop(w: ProtoWriter, gvk: GroupVersionKind): void {
  const length = w.mark;
  w.varint(length);
  w.tag(2, BYTES);
  const mark = w.mark;
  w.string(gvk.kind);
  w.tag(2, BYTES);
  w.string(formatApiVersion(gvk));
  w.tag(1, BYTES);
  w.varint(w.mark - mark);
  w.tag(1, BYTES);
  w.raw(MAGIC);
}

/** Empty contentEncoding (3) and contentType (4), which come last and so are written first. */
const TRAILER = Uint8Array.from([0x1a, 0x00, 0x22, 0x00]);

function joinTrailer(head: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(head.length + TRAILER.length);
  bytes.set(head);
  bytes.set(TRAILER, head.length);
  return bytes;
}

/** Protobuf bytes with envelope. Throws NO_PROTOBUF for kinds that have none (Table). */
export function encodeProtobuf(gvk: GroupVersionKind, object: ApiObject): Uint8Array {
  const type = mustKindType(gvk);
  return joinTrailer(
    written((w) => {
      encodeStruct(w, type, object);
      envelop(w, gvk);
    }),
  );
}

interface Envelope {
  readonly apiVersion: string;
  readonly kind: string;
  readonly raw: Uint8Array;
}

function readEnvelope(bytes: Uint8Array): Envelope {
  if (!MAGIC.every((byte, i) => bytes[i] === byte)) {
    throw new SchemaError(
      'MALFORMED',
      'provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]',
    );
  }
  const envelope = { apiVersion: '', kind: '', raw: bytes.subarray(0, 0) };
  const r = new ProtoReader(bytes, MAGIC.length);
  r.fields((number, wire) => {
    if (wire !== BYTES) return false;
    if (number === 2) envelope.raw = r.subarray();
    else if (number !== 1) return false;
    else {
      r.message((inner, innerWire) => {
        if (innerWire !== BYTES) return false;
        if (inner === 1) envelope.apiVersion = r.string();
        else if (inner === 2) envelope.kind = r.string();
        else return false;
        return true;
      });
    }
    return true;
  });
  return envelope;
}

/** The message inside an envelope made by encodeProtobuf: what lists and watch events carry. */
export function protobufBody(enveloped: Uint8Array): Uint8Array {
  return readEnvelope(enveloped).raw;
}

/** From protobuf with its `k8s\0` envelope. */
export function decodeProtobuf(body: Uint8Array, options: DecodeOptions = {}): Decoded {
  const envelope = readEnvelope(body);
  const { defaults } = options;
  const parsed = parseApiVersion(envelope.apiVersion);
  if (parsed === undefined) {
    const message = `unexpected GroupVersion string: ${envelope.apiVersion}`;
    throw new SchemaError('MALFORMED', message);
  }
  const gv = envelope.apiVersion === '' && defaults !== undefined ? defaults : parsed;
  const kind = envelope.kind === '' ? (defaults?.kind ?? '') : envelope.kind;
  if (kind === '') throw new SchemaError('MALFORMED', "Object 'Kind' is missing in 'protobuf'");
  const gvk = { group: gv.group, version: gv.version, kind };
  const type = mustKindType(gvk);
  const { kind: _, apiVersion: __, ...fields } = decodeStruct(new ProtoReader(envelope.raw), type);
  return { gvk, object: { kind, apiVersion: formatApiVersion(gvk), ...fields }, problems: [] };
}

/** A list, enveloped, from what encodeProtobuf made, each encoded once. */
export function joinListProtobuf(
  listGvk: GroupVersionKind,
  metadata: Readonly<Record<string, unknown>>,
  items: readonly Uint8Array[],
): Uint8Array {
  const bodies = items.map(protobufBody);
  return joinTrailer(
    written((w) => {
      for (let i = bodies.length - 1; i >= 0; i--) {
        w.bytes(must(bodies[i], 'within bounds'));
        w.tag(2, BYTES);
      }
      const mark = w.mark;
      encodeStruct(w, structType('meta/v1.ListMeta'), metadata);
      w.varint(w.mark - mark);
      w.tag(1, BYTES);
      envelop(w, listGvk);
    }),
  );
}

/** A watch frame: 4 bytes length (big-endian), WatchEvent{type, object: the enveloped bytes}. */
export function frameWatchEvent(type: string, enveloped: Uint8Array): Uint8Array {
  return written((w) => {
    w.bytes(enveloped);
    w.tag(1, BYTES); // RawExtension.raw
    w.varint(w.mark);
    w.tag(2, BYTES); // WatchEvent.object
    w.string(type);
    w.tag(1, BYTES);
    const length = w.mark;
    w.raw(Uint8Array.from([length >>> 24, length >>> 16, length >>> 8, length]));
  });
}
