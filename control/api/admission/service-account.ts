/**
 * ServiceAccount: a pod runs as a service account that exists; its pull secrets and, unless opted
 * out, a volume with token, CA and namespace are added to the pod. Source: kubernetes
 * plugin/pkg/admission/serviceaccount.
 */
import type { Container, Pod, ServiceAccount, Volume } from '#base/kube/api/core-v1.gen.ts';
import type { Clock } from '#base/clock.ts';
import type { CacheHub } from '../cache/cache-hub.ts';
import { forbidden } from '../errors.ts';
import type { AdmissionPlugin, AdmissionRequest } from '../registry/admission.ts';
import { generateName, type RandomBytes } from '../registry/metadata.ts';
import type { ServedResource } from '../registry/served-resource.ts';

const MIRROR = 'kubernetes.io/config.mirror';
const MOUNT_PATH = '/var/run/secrets/kubernetes.io/serviceaccount';
const TOKEN_SECONDS = 3607;
/** The controller makes a namespace's default account a moment after the namespace. */
const DEFAULT_ACCOUNT_ATTEMPTS = 10;
const ATTEMPT_DELAY_MS = 150;

export class ServiceAccountAdmission implements AdmissionPlugin {
  readonly name = 'ServiceAccount';
  readonly #pods: ServedResource;
  readonly #accounts: ServedResource;
  readonly #hub: CacheHub;
  readonly #clock: Clock;
  readonly #random: RandomBytes;

  constructor(parts: {
    pods: ServedResource;
    accounts: ServedResource;
    hub: CacheHub;
    clock: Clock;
    random: RandomBytes;
  }) {
    this.#pods = parts.pods;
    this.#accounts = parts.accounts;
    this.#hub = parts.hub;
    this.#clock = parts.clock;
    this.#random = parts.random;
  }

  async mutate(request: AdmissionRequest): Promise<void> {
    const { operation, resource, subresource } = request;
    if (operation !== 'CREATE' || resource !== this.#pods || subresource !== '') return;
    const pod = request.object as Pod; // The registry of pods holds pods.
    const { spec } = pod;
    if (spec === undefined) return; // Validation says what is missing.
    if (pod.metadata.annotations?.[MIRROR] !== undefined) {
      this.#checkMirror(request, pod);
      return;
    }
    if ((spec.serviceAccountName ?? '') === '') {
      spec.serviceAccountName = 'default';
      spec.serviceAccount = 'default';
    }
    const account = await this.#find(request, spec.serviceAccountName ?? '');
    const mounts =
      spec.automountServiceAccountToken ?? account.automountServiceAccountToken ?? true;
    if (mounts) this.#mount(pod);
    if ((spec.imagePullSecrets ?? []).length === 0 && account.imagePullSecrets !== undefined) {
      spec.imagePullSecrets = structuredClone(account.imagePullSecrets);
    }
  }

  #checkMirror(request: AdmissionRequest, pod: Pod): void {
    if ((pod.spec?.serviceAccountName ?? '') !== '') {
      throw this.#refuse(request, 'a mirror pod may not reference service accounts');
    }
    const projects = (pod.spec?.volumes ?? []).some((v) =>
      (v.projected?.sources ?? []).some((s) => s.serviceAccountToken !== undefined),
    );
    if (projects) {
      throw this.#refuse(
        request,
        'a mirror pod may not use ServiceAccountToken volume projections',
      );
    }
  }

  async #find(request: AdmissionRequest, name: string): Promise<ServiceAccount> {
    const { namespace, context } = request;
    const attempts = name === 'default' ? DEFAULT_ACCOUNT_ATTEMPTS : 1;
    for (let attempt = 1; ; attempt++) {
      const found = this.#accounts.cache.get(`${namespace}/${name}`);
      if (found !== undefined) return found.parse() as ServiceAccount; // From its cache.
      if (attempt === 1) await this.#hub.waitForLatest(context.signal);
      else if (attempt > attempts) break;
      else await this.#clock.sleep(ATTEMPT_DELAY_MS, context.signal);
    }
    throw this.#refuse(
      request,
      `error looking up service account ${namespace}/${name}: serviceaccount ${JSON.stringify(name)} not found`,
    );
  }

  #refuse(request: AdmissionRequest, because: string) {
    return forbidden(this.#pods.groupResource, request.name, because);
  }

  #mount(pod: Pod): void {
    const { spec } = pod;
    if (spec === undefined) return;
    const containers = [...(spec.initContainers ?? []), ...spec.containers];
    const needing = containers.filter((c) => !hasTokenMount(c));
    const volumes = spec.volumes ?? [];
    const existing = volumes.find((v) => v.name.startsWith('kube-api-access-'));
    const name = existing?.name ?? generateName('kube-api-access-', this.#random);
    for (const container of needing) {
      container.volumeMounts = [
        ...(container.volumeMounts ?? []),
        { name, readOnly: true, mountPath: MOUNT_PATH },
      ];
    }
    if (existing === undefined && needing.length > 0)
      spec.volumes = [...volumes, tokenVolume(name)];
  }
}

function hasTokenMount(container: Container): boolean {
  return (container.volumeMounts ?? []).some((m) => m.mountPath === MOUNT_PATH);
}

function tokenVolume(name: string): Volume {
  const namespaceField = { apiVersion: 'v1', fieldPath: 'metadata.namespace' };
  return {
    name,
    projected: {
      sources: [
        { serviceAccountToken: { expirationSeconds: TOKEN_SECONDS, path: 'token' } },
        { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
        { downwardAPI: { items: [{ path: 'namespace', fieldRef: namespaceField }] } },
      ],
      defaultMode: 420,
    },
  };
}
