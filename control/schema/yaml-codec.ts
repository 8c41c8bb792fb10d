/**
 * YAML request and response bodies: read as upstream's YAML 1.1 reader does (yes and on are booleans,
 * 012 is octal, dates are strings; first document only), then treated as JSON. Clients rarely send
 * YAML, kubectl never.
 */
import {
  isMap,
  isPair,
  isScalar,
  LineCounter,
  parseAllDocuments,
  stringify,
  type Tags,
  visit,
  type YAMLError,
} from 'yaml';
import { type ApiObject, type GroupVersionKind, SchemaError } from './gvk.ts';
import {
  type Decoded,
  type DecodeOptions,
  decodeValue,
  findKind,
  normalise,
} from './json-codec.ts';
import { toJsonNode } from './json-text.ts';
import { decodeUtf8 } from './utf8.ts';

/** Go's reader knows no sexagesimal numbers, and leaves dates and binary as text. */
function goTags(tags: Tags): Tags {
  return tags.filter((tag) => {
    if (typeof tag === 'string') return true;
    if ('format' in tag && tag.format === 'TIME') return false;
    return !['tag:yaml.org,2002:timestamp', 'tag:yaml.org,2002:binary'].includes(tag.tag);
  });
}

const GO_MESSAGES: Readonly<Record<string, string>> = {
  BLOCK_AS_IMPLICIT_KEY: 'mapping values are not allowed in this context',
  TAB_AS_INDENT: 'found character that cannot start any token',
  BAD_SCALAR_START: 'found character that cannot start any token',
  MISSING_CHAR: 'found unexpected end of stream',
};

function yamlError(error: YAMLError, lines: LineCounter): SchemaError {
  const line = lines.linePos(error.pos[0]).line;
  // Go counts lines from 0 and leaves the first out.
  const where = line > 1 ? `line ${line}: ` : '';
  const alias = /Unresolved alias.*: (\S+)/.exec(error.message)?.[1];
  const message =
    alias === undefined
      ? (GO_MESSAGES[error.code] ?? error.message.split('\n')[0])
      : `unknown anchor '${alias}' referenced`;
  return new SchemaError('MALFORMED', `yaml: ${where}${message}`, { cause: error });
}

interface Parsed {
  readonly value: unknown;
  /** Upstream's one text for all duplicate keys; undefined when there are none. */
  readonly duplicates: string | undefined;
}

function findDuplicates(node: unknown, lines: LineCounter): string | undefined {
  const found: string[] = [];
  visit(node as Parameters<typeof visit>[0], {
    // A document or node of the parser above.
    Map(_, map) {
      const seen = new Set<unknown>();
      for (const { key } of map.items) {
        if (!isScalar(key)) continue;
        if (seen.has(key.value)) {
          const line = lines.linePos(key.range?.[0] ?? 0).line;
          found.push(`  line ${line}: key ${JSON.stringify(key.value)} already set in map`);
        }
        seen.add(key.value);
      }
    },
  });
  return found.length === 0 ? undefined : `yaml: unmarshal errors:\n${found.join('\n')}`;
}

function parseYaml(text: string): Parsed {
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, {
    version: '1.1',
    customTags: goTags,
    merge: true,
    uniqueKeys: false,
    lineCounter: lines,
    logLevel: 'silent',
  });
  const document = Array.isArray(documents) ? documents[0] : undefined;
  if (document === undefined) return { value: null, duplicates: undefined };
  const error = document.errors[0];
  if (error !== undefined) throw yamlError(error, lines);
  const nullKey = isMap(document.contents)
    ? document.contents.items.find((pair) => isPair(pair) && pair.key === null)
    : undefined;
  if (nullKey !== undefined) {
    throw new SchemaError('MALFORMED', 'unsupported map key of type: %!s(<nil>)');
  }
  const value: unknown = document.toJS({ maxAliasCount: 100 });
  return { value, duplicates: findDuplicates(document, lines) };
}

/** As decodeJson, from YAML (the first document). */
export function decodeYaml(body: string | Uint8Array, options: DecodeOptions = {}): Decoded {
  const text = typeof body === 'string' ? body : decodeUtf8(body, 0, body.length);
  let parsed: Parsed;
  try {
    parsed = parseYaml(text);
  } catch (error) {
    if (error instanceof ReferenceError) {
      // The parser's answer to unknown anchors and to alias bombs.
      const anchor = /: (\S+)$/.exec(error.message)?.[1];
      const message =
        anchor === undefined
          ? 'yaml: document contains excessive aliasing'
          : `yaml: unknown anchor '${anchor}' referenced`;
      throw new SchemaError('MALFORMED', message, { cause: error });
    }
    if (error instanceof RangeError) {
      throw new SchemaError('MALFORMED', 'yaml: exceeded max depth', { cause: error });
    }
    throw error;
  }
  const { value, duplicates } = parsed;
  const gvk = findKind(value, text, options.defaults);
  const wanted = options.strict === true;
  const decoded = decodeValue(gvk, value, { wanted, suspect: false }, () => toJsonNode(value));
  if (!wanted || duplicates === undefined) return decoded;
  return { ...decoded, problems: [duplicates, ...decoded.problems] };
}

/** YAML text as upstream writes it: keys sorted. */
export function encodeYaml(gvk: GroupVersionKind, object: ApiObject): string {
  return stringify(normalise(gvk, object).object, {
    version: '1.1',
    sortMapEntries: true,
    indentSeq: false,
    lineWidth: 0,
    aliasDuplicateObjects: false,
  });
}
