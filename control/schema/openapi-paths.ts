/**
 * OpenAPI v3 paths of a resource: which methods, query parameters, bodies and answers. kubectl looks
 * for `fieldValidation` on the PATCH operation of a kind; generated clients read the rest.
 */
import { formatApiVersion } from './gvk.ts';
import type { Descriptions, Schema, SchemaBuilder } from './openapi-schema.ts';
import { CONNECT, DELETE, DELETE_MANY, LIST, LOG, parameter, WRITE } from './openapi-parameters.ts';
import type { ResourceFacts } from './resources.ts';
import { kindType, packageOf, structType } from './types.ts';

type Json = Readonly<Record<string, unknown>>;

const CONTENT = ['application/json', 'application/vnd.kubernetes.protobuf', 'application/yaml'];
const STREAMS = [
  'application/json;stream=watch',
  'application/vnd.kubernetes.protobuf;stream=watch',
];
const PATCHES = [
  'apply-patch+yaml',
  'json-patch+json',
  'merge-patch+json',
  'strategic-merge-patch+json',
];

const ACTION = 'x-kubernetes-action';

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

const words = (text: string): string[] => text.split(' ').toSorted();

/** `rbacAuthorization_v1` */
function tagOf(group: string, version: string): string {
  const [first = '', ...rest] = groupWords(group, version).slice(0, -1);
  return `${first}${rest.map(capital).join('')}_${version}`;
}

/** `apps v1`, `rbac authorization v1`: what operation ids and tags are made of. */
function groupWords(group: string, version: string): string[] {
  const name = group === '' ? 'core' : group.replace(/\.k8s\.io$/, '');
  return [...name.split('.'), version];
}

interface Context {
  readonly resource: ResourceFacts;
  readonly schemas: SchemaBuilder;
  readonly descriptions: Descriptions;
}

interface Kind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

function kindRef({ schemas }: Context, kind: Kind): Schema {
  const struct = kindType(kind);
  const type = struct?.name ?? `${packageOf(kind.group)}/${kind.version}.${kind.kind}`;
  return schemas.refTo(type, struct);
}

function metaRef({ schemas }: Context, name: string): Schema {
  return schemas.refTo(`meta/v1.${name}`, structType(`meta/v1.${name}`));
}

const content = (types: readonly string[], schema: Schema): Json => ({
  content: Object.fromEntries(types.map((type) => [type, { schema }])),
});

const REASONS: Readonly<Record<string, string>> = { 200: 'OK', 201: 'Created', 202: 'Accepted' };

function responses(codes: readonly number[], answer: Json): Json {
  const entries = codes.map((code) => [code, { description: REASONS[code], ...answer }]);
  return { ...Object.fromEntries(entries), 401: { description: 'Unauthorized' } };
}

interface OperationSpec {
  readonly verb: string;
  /** Upstream's x-kubernetes-action. */
  readonly action: string;
  readonly kind: Kind;
  /** The noun of the operation id, `NamespacedPodStatus`. */
  readonly noun: string;
  readonly says: string;
  readonly query?: string;
  readonly body?: Json;
  readonly responses: Json;
}

function operation(context: Context, spec: OperationSpec): Json {
  const { group, version } = context.resource;
  const gv = groupWords(group, version);
  return {
    tags: [tagOf(group, version)],
    description: spec.says,
    operationId: `${spec.verb}${gv.map(capital).join('')}${spec.noun}`,
    ...(spec.query === undefined
      ? {}
      : { parameters: words(spec.query).map((name) => parameter(context.descriptions, name)) }),
    ...(spec.body === undefined ? {} : { requestBody: spec.body }),
    responses: spec.responses,
    [ACTION]: spec.action,
    'x-kubernetes-group-version-kind': {
      group: spec.kind.group,
      kind: spec.kind.kind,
      version: spec.kind.version,
    },
  };
}

function pathItem(context: Context, path: string, operations: Json): Json {
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1] ?? '');
  const shared = inPath.map((name) => parameter(context.descriptions, name, 'path'));
  const isConnect = Object.values(operations).every((o) => (o as Json)[ACTION] === 'connect');
  const pretty = isConnect ? [] : [parameter(context.descriptions, 'pretty')];
  return { ...operations, parameters: [...shared, ...pretty] };
}

function collection(context: Context, noun: string): Json {
  const { resource } = context;
  const kind: Kind = resource;
  const verbs = new Set(resource.verbs);
  const own = kindRef(context, kind);
  const item = content(CONTENT, own);
  const out: Record<string, unknown> = {};
  if (verbs.has('list')) out['get'] = listOperation(context, noun);
  if (verbs.has('create')) {
    out['post'] = operation(context, {
      verb: 'create',
      action: 'post',
      kind,
      noun,
      says: `create ${article(kind.kind)}`,
      query: WRITE,
      body: { ...content(['*/*'], own), required: true },
      responses: responses([200, 201, 202], item),
    });
  }
  if (verbs.has('deletecollection')) {
    out['delete'] = operation(context, {
      verb: 'delete',
      action: 'deletecollection',
      kind,
      noun: `Collection${noun}`,
      says: `delete collection of ${kind.kind}`,
      query: DELETE_MANY,
      body: content(['*/*'], metaRef(context, 'DeleteOptions')),
      responses: responses([200], content(CONTENT, metaRef(context, 'Status'))),
    });
  }
  return out;
}

function listOperation(context: Context, noun: string): Json {
  const { resource } = context;
  const list = kindRef(context, { ...resource, kind: resource.listKind });
  const watches = resource.verbs.includes('watch');
  if (watches) metaRef(context, 'WatchEvent');
  return operation(context, {
    verb: 'list',
    action: 'list',
    kind: resource,
    noun,
    says: `${watches ? 'list or watch' : 'list'} objects of kind ${resource.kind}`,
    query: LIST,
    responses: responses([200], content([...CONTENT, ...STREAMS], list)),
  });
}

function article(kind: string): string {
  if (kind === 'Endpoints') return kind;
  return `${/^[AEIOU]/.test(kind) ? 'an' : 'a'} ${kind}`;
}

/** GET, PUT and PATCH of an object or of a part of it. */
function itemOperations(
  context: Context,
  part: { readonly kind: Kind; readonly noun: string; readonly verbs: readonly string[] },
  of: string,
): Record<string, unknown> {
  const { kind, noun } = part;
  const own = kindRef(context, kind);
  const item = content(CONTENT, own);
  const out: Record<string, unknown> = {};
  if (part.verbs.includes('get')) {
    const responsesOfGet = responses([200], item);
    out['get'] = operation(context, {
      verb: 'read',
      action: 'get',
      kind,
      noun,
      says: `read ${of}`,
      responses: responsesOfGet,
    });
  }
  if (part.verbs.includes('update')) {
    out['put'] = operation(context, {
      verb: 'replace',
      action: 'put',
      kind,
      noun,
      says: `replace ${of}`,
      query: WRITE,
      body: { ...content(['*/*'], own), required: true },
      responses: responses([200, 201], item),
    });
  }
  if (part.verbs.includes('patch')) {
    const patch = metaRef(context, 'Patch');
    out['patch'] = operation(context, {
      verb: 'patch',
      action: 'patch',
      kind,
      noun,
      says: `partially update ${of}`,
      query: `${WRITE} force`,
      body: {
        ...content(
          PATCHES.map((p) => `application/${p}`),
          patch,
        ),
        required: true,
      },
      responses: responses([200, 201], item),
    });
  }
  return out;
}

function deleteOperation(context: Context, noun: string): Json {
  const { resource } = context;
  const answer = resource.deleteReturnsObject
    ? kindRef(context, resource)
    : metaRef(context, 'Status');
  return operation(context, {
    verb: 'delete',
    action: 'delete',
    kind: resource,
    noun,
    says: `delete ${article(resource.kind)}`,
    query: DELETE,
    body: content(['*/*'], metaRef(context, 'DeleteOptions')),
    responses: responses([200, 202], content(CONTENT, answer)),
  });
}

/** HTTP methods of a subresource's connecting verbs, in discovery's words. */
const METHODS: Readonly<Record<string, readonly string[]>> = {
  get: ['get'],
  create: ['post'],
  update: ['put'],
  patch: ['patch'],
  delete: ['delete'],
};

type Subresource = ResourceFacts['subresources'][number];

function connectItem(context: Context, sub: Subresource, noun: string, tail: string): Json {
  const methods = sub.verbs.flatMap((verb) => METHODS[verb] ?? []);
  if (sub.name === 'proxy') methods.push('head', 'options');
  return Object.fromEntries(
    methods.map((method) => [
      method,
      operation(context, {
        verb: `connect`,
        action: 'connect',
        kind: { ...context.resource, kind: sub.kind },
        noun: `${capital(method)}${noun}${tail}`,
        says: `connect ${method.toUpperCase()} requests to ${sub.name} of ${context.resource.kind}`,
        query: CONNECT[sub.name] ?? '',
        responses: responses([200], content(['*/*'], { type: 'string' })),
      }),
    ]),
  );
}

function subresourcePaths(context: Context, sub: Subresource, base: string, noun: string): Json {
  const path = `${base}/${sub.name}`;
  const own = `${noun}${capital(sub.name)}`;
  if (sub.name in CONNECT) {
    const item = pathItem(context, path, connectItem(context, sub, own, ''));
    if (sub.name !== 'proxy') return { [path]: item };
    const deeper = `${path}/{path}`;
    return {
      [path]: item,
      [deeper]: pathItem(context, deeper, connectItem(context, sub, own, 'WithPath')),
    };
  }
  const kind: Kind = { group: sub.group, version: sub.version, kind: sub.kind };
  const of = `${sub.name} of the specified ${context.resource.kind}`;
  const part = { kind, noun: own, verbs: sub.verbs };
  const operations = itemOperations(context, part, of);
  if (sub.name === 'log') {
    operations['get'] = operation(context, {
      verb: 'read',
      action: 'get',
      kind: context.resource,
      noun: own,
      says: `read ${of}`,
      query: LOG,
      responses: responses([200], content([...CONTENT, 'text/plain'], { type: 'string' })),
    });
  }
  if (sub.verbs.includes('create')) {
    const schema = kindRef(context, kind);
    operations['post'] = operation(context, {
      verb: 'create',
      action: 'post',
      kind,
      noun: own,
      says: `create ${sub.name} of ${article(context.resource.kind)}`,
      query: WRITE,
      body: { ...content(['*/*'], schema), required: true },
      responses: responses([200, 201, 202], content(CONTENT, schema)),
    });
  }
  return { [path]: pathItem(context, path, operations) };
}

/** All paths of one resource of a group version. */
export function resourcePaths(
  resource: ResourceFacts,
  schemas: SchemaBuilder,
  descriptions: Descriptions,
): Json {
  const context: Context = { resource, schemas, descriptions };
  const { group, version, resource: plural, kind, namespaced } = resource;
  const root = `/${group === '' ? 'api' : 'apis'}/${formatApiVersion({ group, version })}`;
  const scoped = namespaced ? `${root}/namespaces/{namespace}/${plural}` : `${root}/${plural}`;
  const noun = namespaced ? `Namespaced${kind}` : kind;
  const item = `${scoped}/{name}`;
  const paths: Record<string, unknown> = {};
  if (namespaced && resource.verbs.includes('list')) {
    const all = listOperation(context, `${kind}ForAllNamespaces`);
    paths[`${root}/${plural}`] = pathItem(context, `${root}/${plural}`, { get: all });
  }
  paths[scoped] = pathItem(context, scoped, collection(context, noun));
  const part = { kind: resource, noun, verbs: resource.verbs };
  const operations = itemOperations(context, part, `the specified ${kind}`);
  if (resource.verbs.includes('delete')) operations['delete'] = deleteOperation(context, noun);
  if (Object.keys(operations).length > 0) paths[item] = pathItem(context, item, operations);
  for (const sub of resource.subresources) {
    Object.assign(paths, subresourcePaths(context, sub, item, noun));
  }
  return paths;
}

/** The path of a group version's own resource list. */
export function versionPath(
  gv: { readonly group: string; readonly version: string },
  schemas: SchemaBuilder,
): Json {
  const name = formatApiVersion(gv);
  const words = groupWords(gv.group, gv.version);
  const list = schemas.refTo('meta/v1.APIResourceList', structType('meta/v1.APIResourceList'));
  return {
    [`/${gv.group === '' ? 'api' : 'apis'}/${name}/`]: {
      get: {
        tags: [tagOf(gv.group, gv.version)],
        description: 'get available resources',
        operationId: `get${words.map(capital).join('')}APIResources`,
        responses: responses([200], content(CONTENT, list)),
      },
    },
  };
}
