/**
 * OpenAPI v2 (Swagger 2.0): one document of all that the server serves, made from the documents of v3.
 * kubectl reads it for `kind: List`, whose kind no v3 document knows; older clients know nothing else.
 * As upstream's, it has no defaults, and no alternatives: a quantity is a string. Pure.
 */
import type { OpenApi, OpenApiDocument } from './openapi.ts';

export type Json = Readonly<Record<string, unknown>>;

export interface OpenApiV2Document {
  readonly swagger: '2.0';
  readonly info: Json;
  readonly paths: Json;
  readonly definitions: Json;
  readonly securityDefinitions: Json;
  readonly security: readonly Json[];
}

/** The document of everything in `api`, which has at least one group version. */
export function openApiV2(api: OpenApi): OpenApiV2Document {
  const paths: Record<string, unknown> = {};
  const definitions: Record<string, unknown> = {};
  let info: Json = {};
  let security: Json = {};
  for (const path of api.paths) {
    const document = api.document(path);
    if (document === undefined) continue;
    info = document.info;
    security = document.components['securitySchemes'] as Json; // Made by openapi.ts.
    addPaths(paths, document);
    const schemas = document.components['schemas'] as Json; // Made by openapi.ts.
    // Types that several group versions use are the same in each.
    for (const [name, schema] of Object.entries(schemas)) definitions[name] ??= schemaOf(schema);
  }
  return {
    swagger: '2.0',
    info,
    paths: sortKeys(paths),
    definitions: sortKeys(definitions),
    securityDefinitions: security,
    security: Object.keys(security).map((name) => ({ [name]: [] })),
  };
}

const sortKeys = (map: Json): Json =>
  Object.fromEntries(Object.entries(map).toSorted(([a], [b]) => (a < b ? -1 : 1)));

const mapValues = (map: unknown, to: (value: unknown) => unknown): Json =>
  Object.fromEntries(Object.entries(map as Json).map(([key, value]) => [key, to(value)])); // A map of a v3 document.

/** A schema of v3 in v2's words. */
function schemaOf(schema: unknown): Json {
  const { default: _, oneOf, allOf, ...rest } = schema as Json; // Of a v3 document.
  const out: Record<string, unknown> = { ...rest };
  if (typeof out['$ref'] === 'string') {
    out['$ref'] = out['$ref'].replace('#/components/schemas/', '#/definitions/');
  }
  if (oneOf !== undefined) out['type'] = 'string';
  // In v3 what is said of a field goes around the reference, here it goes beside it.
  if (allOf !== undefined) Object.assign(out, schemaOf((allOf as unknown[])[0])); // One reference.
  for (const key of ['items', 'additionalProperties']) {
    if (out[key] !== undefined) out[key] = schemaOf(out[key]);
  }
  if (out['properties'] !== undefined) out['properties'] = mapValues(out['properties'], schemaOf);
  return out;
}

function addPaths(paths: Record<string, unknown>, document: OpenApiDocument): void {
  for (const [path, item] of Object.entries(document.paths)) {
    const { parameters, ...operations } = item as Json; // A path item.
    paths[path] = {
      ...mapValues(operations, operationOf),
      ...(parameters === undefined ? {} : { parameters: parametersOf(parameters) }),
    };
  }
}

function parametersOf(parameters: unknown): Json[] {
  return (parameters as readonly Json[]).map(({ schema, ...rest }) => ({
    ...rest,
    ...(schema as Json), // Parameters have plain types.
  }));
}

/** The media types of a body and its schema, which is the same for each. */
function contentOf(value: unknown): { types: string[]; schema: Json | undefined } {
  const content = Object.entries(((value as Json)['content'] ?? {}) as Json); // Of a v3 document.
  const [first] = content;
  return {
    types: content.map(([type]) => type),
    schema: first && schemaOf((first[1] as Json)['schema']), // A media type.
  };
}

function operationOf(operation: unknown): Json {
  const { parameters, requestBody, responses, ...rest } = operation as Json; // Of a v3 document.
  const body = contentOf(requestBody ?? {});
  const isRequired = (requestBody as Json | undefined)?.['required'] === true; // A request body.
  const answers = Object.values(responses as Json).map(contentOf); // Of a v3 document.
  const bodyParameter = { name: 'body', in: 'body', ...(isRequired ? { required: true } : {}) };
  const produces = answers.find(({ types }) => types.length > 0)?.types ?? [];
  // Of what is about no kind, upstream says that it takes what it answers.
  const consumesAny = rest['x-kubernetes-action'] === undefined ? produces : ['*/*'];
  const all = [
    ...(body.schema === undefined ? [] : [{ ...bodyParameter, schema: body.schema }]),
    ...parametersOf(parameters ?? []),
  ];
  return {
    ...rest,
    consumes: requestBody === undefined ? consumesAny : body.types,
    produces,
    schemes: ['https'],
    ...(all.length === 0 ? {} : { parameters: all }),
    responses: mapValues(responses, (answer) => {
      const { schema } = contentOf(answer);
      const { description } = answer as Json; // A response.
      return schema === undefined ? { description } : { description, schema };
    }),
  };
}
