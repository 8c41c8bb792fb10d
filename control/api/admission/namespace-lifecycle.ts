/**
 * NamespaceLifecycle: objects are made only in namespaces that exist and are not being deleted, and
 * the namespaces that the system lives in stay.
 */
import { ApiError, forbidden, notFound } from '../errors.ts';
import type { AdmissionPlugin, AdmissionRequest } from '../registry/admission.ts';
import type { ServedResource } from '../registry/served-resource.ts';
import type { CacheHub } from '../cache/cache-hub.ts';

const IMMORTAL: ReadonlySet<string> = new Set(['default', 'kube-system', 'kube-public']);
/** Reviews that say something about a namespace without being in it. */
const ACCESS_REVIEWS = 'localsubjectaccessreviews';

export class NamespaceLifecycle implements AdmissionPlugin {
  readonly name = 'NamespaceLifecycle';
  readonly #namespaces: ServedResource;
  readonly #hub: CacheHub;

  constructor(parts: { namespaces: ServedResource; hub: CacheHub }) {
    this.#namespaces = parts.namespaces;
    this.#hub = parts.hub;
  }

  async mutate(request: AdmissionRequest): Promise<void> {
    const { operation, resource, namespace, context } = request;
    if (operation !== 'CREATE' || !resource.facts.namespaced || namespace === '') return;
    if (resource.facts.resource === ACCESS_REVIEWS) return;
    let found = this.#namespaces.cache.get(namespace);
    if (found === undefined) {
      // It may have been made just now.
      await this.#hub.waitForLatest(context.signal);
      found = this.#namespaces.cache.get(namespace);
    }
    if (found === undefined) throw notFound(this.#namespaces.groupResource, namespace);
    if (found.selectable.fields['status.phase'] === 'Terminating' || isDeleting(found.parse())) {
      throw terminating(request);
    }
  }

  validate(request: AdmissionRequest): void {
    const { operation, resource, name } = request;
    if (operation !== 'DELETE' || resource !== this.#namespaces || !IMMORTAL.has(name)) return;
    throw forbidden(resource.groupResource, name, 'this namespace may not be deleted');
  }
}

function isDeleting(namespace: { metadata: { deletionTimestamp?: string | undefined } }): boolean {
  return namespace.metadata.deletionTimestamp !== undefined;
}

function terminating(request: AdmissionRequest): ApiError {
  const { resource, namespace, name } = request;
  const because = `unable to create new content in namespace ${namespace} because it is being terminated`;
  const cause = {
    reason: 'NamespaceTerminating',
    message: `namespace ${namespace} is being terminated`,
    field: 'metadata.namespace',
  };
  return forbidden(resource.groupResource, name, because, [cause]);
}
