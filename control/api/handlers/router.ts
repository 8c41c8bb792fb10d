/**
 * From a request's resource, subresource and verb to its handler. Stored resources share the
 * generic handlers; subresources and reviews with behaviour of their own are in a table keyed by
 * `group/resource/subresource`.
 */
import type { ResourceFacts } from '#control/schema/schema.ts';
import { methodNotSupported } from '../errors.ts';
import type { ApiResponse } from '../exchange.ts';
import type { ServedResource } from '../registry/served-resource.ts';
import type { Call, Handler } from './call.ts';
import { getObject, listObjects } from './list.ts';
import { patchObject } from './patch.ts';
import { replyText } from './reply.ts';
import { watchObjects } from './watch.ts';
import { createObject, deleteCollection, deleteObject, updateObject } from './write.ts';

type ResourceHandler = (call: Call, resource: ServedResource) => Promise<ApiResponse>;

const GENERIC: Readonly<Record<string, ResourceHandler>> = {
  get: getObject,
  list: listObjects,
  watch: watchObjects,
  create: createObject,
  update: updateObject,
  patch: patchObject,
  delete: deleteObject,
  deletecollection: deleteCollection,
};

/** Subresources that are views of the whole object: get, update and patch of it. */
const WHOLE_OBJECT: ReadonlySet<string> = new Set([
  'status',
  'ephemeralcontainers',
  'resize',
  'approval',
  'finalize',
]);

export class Router {
  /** By `group/version/resource`. */
  readonly #facts: ReadonlyMap<string, ResourceFacts>;
  /** By `group/resource/subresource`, with an empty subresource for virtual resources. */
  readonly #special: ReadonlyMap<string, Handler>;

  constructor(facts: Iterable<ResourceFacts>, special: ReadonlyMap<string, Handler>) {
    this.#facts = new Map([...facts].map((f) => [`${f.group}/${f.version}/${f.resource}`, f]));
    this.#special = special;
  }

  async route(call: Call): Promise<ApiResponse> {
    const { group, version, resource, subresource, verb, name, namespace } = call.info;
    const facts = this.#facts.get(`${group}/${version}/${resource}`);
    if (facts === undefined) return notServed();
    // A namespaced resource is named within a namespace only, a cluster-scoped one never.
    if (facts.namespaced && namespace === '' && hasNameInPath(call)) return notServed();
    if (!facts.namespaced && namespace !== '' && resource !== 'namespaces') return notServed();
    const special = this.#special.get(`${group}/${resource}/${subresource}`);
    if (special !== undefined) {
      requireVerb(facts, subresource, verb);
      return special(call);
    }
    const served = call.services.resources.find(group, version, resource);
    if (served === undefined) return notServed();
    requireVerb(facts, subresource, verb);
    if (subresource !== '' && !WHOLE_OBJECT.has(subresource)) return notServed();
    if (subresource === '' && verb === 'create' && name !== '') {
      throw methodNotSupported(served.groupResource, 'create');
    }
    const { deprecation } = served.rules;
    if (deprecation !== undefined) call.warnings.add(deprecation);
    const handler = GENERIC[verb];
    if (handler === undefined) throw methodNotSupported(served.groupResource, verb);
    return handler(call, served);
  }
}

function hasNameInPath(call: Call): boolean {
  const { verb, name } = call.info;
  return name !== '' && verb !== 'list' && verb !== 'watch' && verb !== 'deletecollection';
}

function requireVerb(facts: ResourceFacts, subresource: string, verb: string): void {
  const { group, resource } = facts;
  const of = { group, resource };
  if (subresource === '') {
    if (!facts.verbs.includes(verb)) throw methodNotSupported(of, verb);
    return;
  }
  const sub = facts.subresources.find((s) => s.name === subresource);
  // Proxied requests come with every method.
  if (sub !== undefined && (sub.verbs.includes(verb) || subresource === 'proxy')) return;
  if (sub === undefined) throw methodNotSupported(of, verb);
  throw methodNotSupported({ group, resource: `${resource}/${subresource}` }, verb);
}

/** What upstream's mux says about a path it does not know. */
export function notServed(): ApiResponse {
  return replyText(404, '404 page not found\n');
}
