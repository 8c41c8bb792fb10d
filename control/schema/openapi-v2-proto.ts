/**
 * The protobuf form of an OpenAPI v2 document, the only one that client-go asks for:
 *
 *   application/com.github.proto-openapi.spec.v2@v1.0+protobuf
 *
 * The messages are those of gnostic's OpenAPIv2.proto (package openapi.v2), of which the table below
 * holds what our documents use. Its maps are messages that hold a list of {name = 1, value = 2}, its
 * choices messages around the one chosen; values of any type are YAML text, as which JSON serves. Pure.
 */
import { assert, assertNever, must } from '#base/assert.ts';
import type { Json, OpenApiV2Document } from './openapi-v2.ts';
import { BYTES, ProtoWriter, VARINT } from './proto-writer.ts';

/** Lists of the first three, and of messages, where the value is an array. */
type Form =
  | { readonly kind: 'string' | 'bool' | 'any' }
  /** All fields whose names begin with `x-`. */
  | { readonly kind: 'extensions' }
  | { readonly kind: 'message'; readonly name: string }
  /** A message whose field `entry` lists the entries of a map of messages. */
  | { readonly kind: 'map'; readonly name: string; readonly entry: number };

interface Field {
  readonly number: number;
  readonly form: Form;
  /** Field numbers of the messages around each value, the outermost first. */
  readonly inside: readonly number[];
}

const field = (form: Form, number: number, inside: number[] = []): Field => ({
  form,
  number,
  inside,
});
const text = (number: number, ...inside: number[]) => field({ kind: 'string' }, number, inside);
const flag = (number: number) => field({ kind: 'bool' }, number);
const extensions = (number: number) => field({ kind: 'extensions' }, number);
const one = (name: string, number: number, ...inside: number[]) =>
  field({ kind: 'message', name }, number, inside);
const map = (name: string, number: number, entry = 1) =>
  field({ kind: 'map', name, entry }, number);

/** Messages by name, their fields by name in JSON, in the order of their numbers. */
const MESSAGES: Readonly<Record<string, Readonly<Record<string, Field>>>> = {
  Document: {
    swagger: text(1),
    info: one('Info', 2),
    paths: map('PathItem', 8, 2),
    definitions: map('Schema', 9),
    security: map('StringArray', 12),
    securityDefinitions: map('SecurityDefinition', 13),
  },
  StringArray: { value: text(1) },
  SecurityDefinition: { apiKey: one('ApiKeySecurity', 2) },
  Info: { title: text(1), version: text(2) },
  ApiKeySecurity: { type: text(1), name: text(2), in: text(3), description: text(4) },
  PathItem: {
    get: one('Operation', 2),
    put: one('Operation', 3),
    post: one('Operation', 4),
    delete: one('Operation', 5),
    options: one('Operation', 6),
    head: one('Operation', 7),
    patch: one('Operation', 8),
    parameters: one('Parameter', 9),
  },
  Operation: {
    tags: text(1),
    description: text(3),
    operationId: text(5),
    produces: text(6),
    consumes: text(7),
    parameters: one('Parameter', 8),
    responses: map('Response', 9),
    schemes: text(10),
    'x-': extensions(13),
  },
  Parameter: {
    body: one('BodyParameter', 1, 1),
    query: one('QueryParameter', 1, 2, 3),
    path: one('PathParameter', 1, 2, 4),
  },
  BodyParameter: {
    description: text(1),
    name: text(2),
    in: text(3),
    required: flag(4),
    schema: one('Schema', 5),
  },
  QueryParameter: {
    required: flag(1),
    in: text(2),
    description: text(3),
    name: text(4),
    type: text(6),
    uniqueItems: flag(20),
  },
  PathParameter: {
    required: flag(1),
    in: text(2),
    description: text(3),
    name: text(4),
    type: text(5),
    uniqueItems: flag(19),
  },
  Response: { response: one('PlainResponse', 1) },
  PlainResponse: { description: text(1), schema: one('Schema', 2, 1) },
  Schema: {
    $ref: text(1),
    format: text(2),
    description: text(4),
    required: text(19),
    enum: field({ kind: 'any' }, 20),
    additionalProperties: one('Schema', 21, 1),
    type: text(22, 1),
    items: one('Schema', 23, 1),
    allOf: one('Schema', 24),
    properties: map('Schema', 25),
    'x-': extensions(31),
  },
};

/** Messages that JSON has no level for: the value as the field of the message that it goes to. */
const LEVELS: Readonly<Record<string, (value: unknown) => Json>> = {
  StringArray: (value) => ({ value }),
  SecurityDefinition: (value) => ({ [String((value as Json)['type'])]: value }), // A map.
  Parameter: (value) => ({ [String((value as Json)['in'])]: value }), // A map.
  Response: (value) => ({ response: value }),
};

/** Writes each message from its last field to its first, as the writer wants it. */
class Encoder {
  readonly #writer = new ProtoWriter();

  encode(document: OpenApiV2Document): Uint8Array {
    this.#message('Document', document);
    return this.#writer.take();
  }

  #message(name: string, value: unknown): void {
    const fields = must(MESSAGES[name], `message ${name}`);
    const json = LEVELS[name]?.(value) ?? (value as Json); // A map, by the table.
    for (const key of Object.keys(json)) {
      assert(key in fields || key.startsWith('x-'), `${name} has no field '${key}'`);
    }
    for (const [key, field] of Object.entries(fields).toReversed()) {
      if (field.form.kind === 'extensions') this.#extensions(field.number, json);
      else if (json[key] !== undefined) this.#field(field, json[key]);
    }
  }

  #field({ form, number, inside }: Field, value: unknown): void {
    const values: readonly unknown[] = Array.isArray(value) ? value : [value];
    for (const each of values.toReversed()) {
      this.#inside([number, ...inside], form.kind === 'bool' ? VARINT : BYTES, () =>
        this.#value(form, each),
      );
    }
  }

  #inside(numbers: readonly number[], wire: number, write: () => void): void {
    const [number = 0, ...rest] = numbers;
    if (rest.length === 0) write();
    else this.#delimited(() => this.#inside(rest, wire, write));
    this.#writer.tag(number, rest.length === 0 ? wire : BYTES);
  }

  /** What `write` writes, after its length. */
  #delimited(write: () => void): void {
    const end = this.#writer.mark;
    write();
    this.#writer.varint(this.#writer.mark - end);
  }

  #value(form: Form, value: unknown): void {
    switch (form.kind) {
      case 'bool':
        return this.#writer.varint(value === true ? 1 : 0);
      case 'string':
        return this.#writer.string(String(value));
      case 'any':
        return this.#any(value);
      case 'message':
        return this.#delimited(() => this.#message(form.name, value));
      case 'map':
        return this.#delimited(() => {
          for (const [key, each] of Object.entries(value as Json).toReversed()) {
            this.#named(form.entry, key, () =>
              this.#delimited(() => this.#message(form.name, each)),
            );
          }
        });
      case 'extensions':
        return assert(false, 'extensions are no single value');
      default:
        return assertNever(form);
    }
  }

  #any(value: unknown): void {
    this.#delimited(() => {
      this.#writer.string(JSON.stringify(value));
      this.#writer.tag(2, BYTES);
    });
  }

  /** An entry of a map: a message of name and value. */
  #named(number: number, name: string, write: () => void): void {
    this.#delimited(() => {
      write();
      this.#writer.tag(2, BYTES);
      this.#writer.string(name);
      this.#writer.tag(1, BYTES);
    });
    this.#writer.tag(number, BYTES);
  }

  #extensions(number: number, json: Json): void {
    for (const [key, value] of Object.entries(json).toReversed()) {
      if (key.startsWith('x-')) this.#named(number, key, () => this.#any(value));
    }
  }
}

/** Throws (programmer error) when the document has what no message of the table takes. */
export function encodeOpenApiV2(document: OpenApiV2Document): Uint8Array {
  return new Encoder().encode(document);
}
