/**
 * The registry: create, update and delete of any served resource, with the order of defaulting,
 * admission, the kind's rules and storage that upstream's generic registry has. Handlers call it
 * with objects in the storage version; it answers with the JSON that clients see.
 *
 * Invariant: every write is one transaction that expects the revision its decision was based on, so
 * concurrent writers never undo each other; the loser decides again on the new state.
 */
import type { KubeObject } from '#base/kube/client.ts';
import type { Clock } from '#base/clock.ts';
import type { Store } from '#control/store/store.ts';
import type { CacheHub } from '../cache/cache-hub.ts';
import { CachedObject, withResourceVersion } from '../cache/cached-object.ts';
import {
  alreadyExists,
  conflict,
  generateNameConflict,
  internalError,
  invalid,
  notFound,
  OBJECT_MODIFIED,
  plainError,
} from '../errors.ts';
import { GENERATE_NAME_ATTEMPTS, UPDATE_ATTEMPTS_MAX } from '../limits.ts';
import { type FieldError, fieldErrorCauses } from '../resources/field-errors.ts';
import type { AdmissionChain, AdmissionRequest, WriteContext } from './admission.ts';
import { formatStored } from './codec.ts';
import { type DeleteOptions, isDoneDeleting } from './delete-plan.ts';
import { type Deleted, Deletion, type ObjectAt } from './deletion.ts';
import {
  genericUpdateRules,
  validateGenericCreate,
  validateGenericUpdate,
} from './generic-rules.ts';
import {
  bumpGeneration,
  ensureNamespace,
  fillMetadata,
  generateName,
  keepServerMetadata,
  type RandomBytes,
} from './metadata.ts';
import { type Extra, ObjectStorage } from './object-storage.ts';
import { sameJson } from './same-json.ts';
import type { ServedResource } from './served-resource.ts';
import { type Current, done, lost, type Outcome, parseCurrent, settle } from './settle.ts';
import type { WriteHooks } from './write-hooks.ts';

/** An object after a write: what the client gets, in the storage version. */
export interface Written {
  readonly json: Buffer;
  readonly revision: number;
  readonly created?: boolean | undefined;
}

/** Where an update is aimed at. */
export interface UpdateTarget {
  readonly resource: ServedResource;
  readonly namespace: string;
  readonly name: string;
  readonly subresource: string;
}

/** Makes the new object from a copy of the current one; `undefined` current: it does not exist. */
export type Produce = (current: KubeObject | undefined) => KubeObject | Promise<KubeObject>;

export interface RegistryIo {
  readonly store: Store;
  readonly hub: CacheHub;
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly uuid: () => string;
}

export class Registry {
  readonly #io: RegistryIo;
  readonly #storage: ObjectStorage;
  readonly #admission: AdmissionChain;
  readonly #hooks: WriteHooks;
  readonly #deletion: Deletion;

  constructor(io: RegistryIo, parts: { admission: AdmissionChain; hooks: WriteHooks }) {
    this.#io = io;
    this.#storage = new ObjectStorage(io.store);
    this.#admission = parts.admission;
    this.#hooks = parts.hooks;
    this.#deletion = new Deletion({ storage: this.#storage, ...parts });
  }

  /** The latest state of an object, reading every write acknowledged before. */
  async get(resource: ServedResource, key: string, signal: AbortSignal): Promise<CachedObject> {
    await this.#io.hub.waitForLatest(signal);
    const found = resource.cache.get(key);
    if (found === undefined) throw notFound(resource.groupResource, nameOfKey(key));
    return found;
  }

  async create(
    at: { resource: ServedResource; namespace: string },
    object: KubeObject,
    context: WriteContext,
  ): Promise<Written> {
    const { resource, namespace } = at;
    const { metadata } = object;
    if ((metadata.resourceVersion ?? '') !== '') {
      throw plainError('resourceVersion should not be set on objects to be created');
    }
    ensureNamespace(object, resource.facts.namespaced ? namespace : '');
    fillMetadata(object, this.#io.uuid(), context.nowMs);
    const base = (metadata.name ?? '') === '' ? (metadata.generateName ?? '') : '';
    if (base !== '') metadata.name = generateName(base, this.#io.random);
    const asked: AdmissionRequest = {
      operation: 'CREATE',
      resource,
      subresource: '',
      namespace,
      name: metadata.name ?? '',
      object,
      old: undefined,
      context,
    };
    await this.#admission.mutate(asked);
    if (resource.rules.hasGeneration === true) metadata.generation = 1;
    resource.rules.prepareForCreate?.(object, context);
    const extra = await this.#hooks.onCreate(resource, object, context);
    this.#refuse(resource, object, validateGenericCreate(resource, object, context));
    for (const text of resource.rules.warningsOnCreate?.(object, context) ?? []) context.warn(text);
    resource.rules.canonicalize?.(object);
    await this.#admission.validate(asked);
    return this.#store({ resource, object, base, extra }, context);
  }

  /** Writes a new object, under further names while its generated one is taken. */
  async #store(
    write: { resource: ServedResource; object: KubeObject; base: string; extra: Extra },
    context: WriteContext,
  ): Promise<Written> {
    const { resource, object, base } = write;
    const { metadata } = object;
    let { extra } = write;
    for (let attempt = 1; ; attempt++) {
      const name = metadata.name ?? '';
      const key = resource.key(metadata.namespace ?? '', name);
      const value = formatStored(object);
      if (context.dryRun) {
        await this.#io.hub.waitForLatest(context.signal);
        if (resource.cache.get(key) !== undefined)
          throw alreadyExists(resource.groupResource, name);
        return { json: value, revision: 0 };
      }
      const storeKey = resource.storeKey(key);
      const result = await this.#storage.create(storeKey, value, context.signal, extra);
      if (result.kind === 'written') {
        const { revision } = result;
        return { json: withResourceVersion(value, revision), revision, created: true };
      }
      if (result.kind === 'extraFailed') {
        if (attempt >= UPDATE_ATTEMPTS_MAX) throw internalError('gave up claiming for the object');
        extra = await this.#hooks.onCreate(resource, object, context); // Another write was first.
        continue;
      }
      if (base === '') throw alreadyExists(resource.groupResource, name);
      if (attempt >= GENERATE_NAME_ATTEMPTS)
        throw generateNameConflict(resource.groupResource, name);
      metadata.name = generateName(base, this.#io.random);
      extra = await this.#hooks.onCreate(resource, object, context); // Claims carry the name.
    }
  }

  /** `produce` is called again with the new state whenever another writer came first. */
  async update(
    target: UpdateTarget,
    produce: Produce,
    context: WriteContext,
    options: { readonly isPatch?: boolean } = {},
  ): Promise<Written> {
    const { resource, namespace, name, subresource } = target;
    await this.#io.hub.waitForLatest(context.signal);
    const { groupResource, cache } = resource;
    const first = cache.get(resource.key(namespace, name));
    return await settle({ groupResource, name }, first, async (current) => {
      if (current === undefined) {
        const may = resource.rules.allowCreateOnUpdate === true && subresource === '';
        if (!may || options.isPatch === true) throw notFound(groupResource, name);
        const object = await produce(undefined);
        object.metadata.resourceVersion = '';
        return done(await this.create({ resource, namespace }, object, context));
      }
      const old = parseCurrent(current);
      const object = await produce(parseCurrent(current));
      this.#checkVersion(target, object, old);
      const extra = await this.#prepareUpdate(target, object, old, context);
      return await this.#commitUpdate(target, { current, old, object, extra }, context);
    });
  }

  /** Throws ApiError 409 when the client changes another object or version than the current one. */
  #checkVersion(target: UpdateTarget, object: KubeObject, old: KubeObject): void {
    const { resource, name } = target;
    const { metadata } = object;
    const uid = metadata.uid ?? '';
    if (uid !== '' && uid !== old.metadata.uid) {
      const key = resource.storeKey(resource.key(target.namespace, name));
      throw conflict(
        resource.groupResource,
        name,
        `StorageError: invalid object, Code: 4, Key: ${key}, ResourceVersion: 0, ` +
          `AdditionalErrorMsg: Precondition failed: UID in precondition: ${uid}, ` +
          `UID in object meta: ${old.metadata.uid}`,
      );
    }
    const version = metadata.resourceVersion ?? '';
    if (version === '' || version === '0') {
      if (resource.rules.allowUnconditionalUpdate === false) {
        throw invalid(resource.groupKind, name, [
          {
            reason: 'FieldValueInvalid',
            field: 'metadata.resourceVersion',
            message: 'Invalid value: 0x0: must be specified for an update',
          },
        ]);
      }
      metadata.resourceVersion = old.metadata.resourceVersion;
    } else if (version !== old.metadata.resourceVersion) {
      throw conflict(resource.groupResource, name, OBJECT_MODIFIED);
    }
  }

  async #prepareUpdate(
    target: UpdateTarget,
    object: KubeObject,
    old: KubeObject,
    context: WriteContext,
  ): Promise<Extra> {
    const { resource, namespace, name, subresource } = target;
    const rules = genericUpdateRules(resource, subresource);
    const asked: AdmissionRequest = {
      operation: 'UPDATE',
      resource,
      subresource,
      namespace,
      name,
      object,
      old,
      context,
    };
    await this.#admission.mutate(asked);
    ensureNamespace(object, resource.facts.namespaced ? namespace : '');
    setOrDelete(object.metadata, 'generation', old.metadata.generation);
    rules.prepareForUpdate?.(object, old, context);
    this.#bumpGeneration(target, object, old);
    keepServerMetadata(object, old);
    const extra = await this.#hooks.onUpdate({ resource, subresource }, object, old, context);
    this.#refuse(
      resource,
      object,
      validateGenericUpdate(resource, rules, { object, old, context }),
    );
    for (const text of rules.warningsOnUpdate?.(object, old, context) ?? []) context.warn(text);
    resource.rules.canonicalize?.(object);
    await this.#admission.validate(asked);
    return extra;
  }

  #bumpGeneration(target: UpdateTarget, object: KubeObject, old: KubeObject): void {
    const { rules } = target.resource;
    if (rules.hasGeneration !== true || target.subresource === 'status') return;
    if (object.metadata.generation !== old.metadata.generation) return; // The kind's own hook did.
    const bumps = rules.bumpsGeneration?.(object, old) ?? specDiffers(object, old);
    if (bumps) bumpGeneration(object);
  }

  async #commitUpdate(
    target: UpdateTarget,
    write: { current: Current; old: KubeObject; object: KubeObject; extra: Extra },
    context: WriteContext,
  ): Promise<Outcome<Written>> {
    const { resource, namespace, name } = target;
    const { current, old, object, extra } = write;
    const key = resource.storeKey(resource.key(namespace, name));
    const at = { key, revision: current.revision };
    const isLeaving = old.metadata.deletionTimestamp !== undefined;
    if (isLeaving && isDoneDeleting(object, resource.rules) && !context.dryRun) {
      const json = Buffer.from(JSON.stringify(object));
      const release = this.#hooks.onDelete(resource, old);
      const result = await this.#storage.delete(at, context.signal, release);
      return result.kind === 'written' ? done({ json, revision: result.revision }) : lost(result);
    }
    const value = formatStored(object);
    const json = withResourceVersion(value, current.revision);
    if (context.dryRun) return done({ json, revision: current.revision });
    if (json.equals(current.json) || sameJson(object, old)) {
      return done({ json: current.json, revision: current.revision });
    }
    const place = { ...at, isDeleting: isLeaving };
    const result = await this.#storage.update(place, value, context.signal, extra);
    if (result.kind !== 'written') return lost(result);
    const { revision } = result;
    return done({ json: withResourceVersion(value, revision), revision });
  }

  /**
   * Changes an object in place past the kind's own rules: for what the server itself decides (the
   * node of a pod, the count of a budget). `change` is called again on a new state.
   */
  async mutate(
    at: ObjectAt,
    change: (object: KubeObject) => void,
    context: WriteContext,
  ): Promise<Written> {
    const { resource, namespace, name } = at;
    const key = resource.key(namespace, name);
    await this.#io.hub.waitForLatest(context.signal);
    const { groupResource, cache } = resource;
    return await settle({ groupResource, name }, cache.get(key), async (current) => {
      if (current === undefined) throw notFound(groupResource, name);
      const object = parseCurrent(current);
      change(object);
      const value = formatStored(object);
      const { revision } = current;
      const json = withResourceVersion(value, revision);
      if (context.dryRun || json.equals(current.json)) return done<Written>({ json, revision });
      const store = { key: resource.storeKey(key), revision };
      const result = await this.#storage.update(store, value, context.signal);
      if (result.kind !== 'written') return lost(result);
      const written = withResourceVersion(value, result.revision);
      return done({ json: written, revision: result.revision });
    });
  }

  async delete(at: ObjectAt, options: DeleteOptions, context: WriteContext): Promise<Deleted> {
    await this.#io.hub.waitForLatest(context.signal);
    return await this.#deletion.run(at, options, context);
  }

  #refuse(resource: ServedResource, object: KubeObject, errors: readonly FieldError[]): void {
    if (errors.length === 0) return;
    // Upstream names the kind that is stored.
    throw invalid(resource.storageKind, object.metadata.name ?? '', fieldErrorCauses(errors));
  }
}

function nameOfKey(key: string): string {
  return key.slice(key.indexOf('/') + 1);
}

function setOrDelete<T extends object, K extends keyof T>(target: T, key: K, value: T[K]): void {
  if (value === undefined) delete target[key];
  else target[key] = value;
}

function specDiffers(object: KubeObject, old: KubeObject): boolean {
  const { metadata: _m, status: _s, ...rest } = object as KubeObject & { status?: unknown };
  const { metadata: _om, status: _os, ...before } = old as KubeObject & { status?: unknown };
  return !sameJson(rest, before);
}
