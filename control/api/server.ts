/**
 * Composition of the API server: caches, registry, authorization, admission, handlers and pipeline,
 * over a Store and a set of keys. `handle` serves a request of any transport; `start` brings the
 * server to the point where it is ready.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { totalmem } from 'node:os';
import type { MessagePort } from 'node:worker_threads';
import type { ClusterRole } from '#base/kube/api/rbac-v1.gen.ts';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import { TaskScope } from '#base/task-scope.ts';
import { resources as allFacts } from '#control/schema/schema.ts';
import type { Store } from '#control/store/store.ts';
import type { AuditLog } from './audit/audit.ts';
import { Authorizer } from './auth/authorizer.ts';
import { NodeAuthorizer } from './auth/node-authorizer.ts';
import { RbacAuthorizer } from './auth/rbac.ts';
import { ServiceAccountTokens } from './auth/service-account-tokens.ts';
import { aggregateRoles } from './bootstrap/aggregate-roles.ts';
import { Bootstrap } from './bootstrap/bootstrap.ts';
import rbacFacts from './bootstrap/facts/rbac.gen.json' with { type: 'json' };
import { ensureKubernetesService } from './bootstrap/kubernetes-service.ts';
import { CacheHub } from './cache/cache-hub.ts';
import { compactPeriodically } from './compaction.ts';
import { admissionPlugins } from './admission/plugins.ts';
import type { ApiRequest, ApiResponse } from './exchange.ts';
import { servePort } from './frontend/port.ts';
import type { Call, Services } from './handlers/call.ts';
import { DiscoveryHandler } from './handlers/discovery.ts';
import { type HealthCheck, HealthHandler } from './handlers/health.ts';
import { OpenApiHandler } from './handlers/openapi.ts';
import { notServed, Router } from './handlers/router.ts';
import { specialHandlers } from './handlers/special.ts';
import { oidcDocument } from './handlers/tokens.ts';
import { replyObject } from './handlers/reply.ts';
import { REQUEST_MEMORY_BYTES_MIN, REQUEST_MEMORY_SHARE } from './limits.ts';
import { MemoryBudget } from './memory-budget.ts';
import { Metrics } from './metrics.ts';
import { Pipeline } from './pipeline.ts';
import { AdmissionChain } from './registry/admission.ts';
import { EventTtl } from './registry/event-ttl.ts';
import { installResources } from './registry/install.ts';
import { addressAt, parseIpv4Range } from './registry/ipv4-range.ts';
import { Registry } from './registry/registry.ts';
import { ServiceClaims } from './registry/service-claims.ts';
import { type KindHooks, WriteHooks } from './registry/write-hooks.ts';
import type { UserInfo } from './resource.ts';
import { type KubeletFiles, Kubelets } from './stream/kubelets.ts';

export interface ApiServerConfig {
  /** Of the node that this server runs on. */
  readonly nodeName: string;
  /** Where clients reach it, `10.0.0.1:6443`, for discovery and the kubernetes Service. */
  readonly advertiseAddress: string;
  readonly advertisePort: number;
  readonly serviceCidr: string;
  readonly nodePortRange: readonly [number, number];
  readonly serviceAccountIssuer: string;
  readonly version: { gitVersion: string; gitCommit: string; buildDate: string };
  /** What lists and bodies under way may hold together; by default a share of the machine's memory. */
  readonly requestMemoryBytes?: number | undefined;
}

export interface ApiServerKeys {
  /** PEM texts. */
  readonly serviceAccountKey: string;
  readonly clientCa: string;
  readonly frontProxyCa?: string | undefined;
  /** Paths of the files for talking to kubelets. */
  readonly kubelet?: KubeletFiles | undefined;
}

function requestMemoryBytes(): number {
  const bytes = Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY);
  return Math.max(REQUEST_MEMORY_BYTES_MIN, Math.floor(bytes * REQUEST_MEMORY_SHARE));
}

export class ApiServer {
  readonly #config: ApiServerConfig;
  readonly #keys: ApiServerKeys;
  readonly #services: Services;
  readonly #pipeline: Pipeline;
  readonly #metrics: Metrics;
  readonly #router: Router;
  readonly #discovery: DiscoveryHandler;
  readonly #health: HealthHandler;
  readonly #openApi: OpenApiHandler;
  readonly #stop = new AbortController();
  readonly #tasks: TaskScope;
  readonly #hub: CacheHub;
  readonly #serverAddress: string;
  #bootstrapped = false;
  #stopping = false;

  constructor(parts: {
    config: ApiServerConfig;
    keys: ApiServerKeys;
    store: Store;
    clock: Clock;
    log: Log;
    audit?: AuditLog | undefined;
  }) {
    const { config, keys, store, clock, log, audit } = parts;
    this.#config = config;
    this.#keys = keys;
    this.#tasks = new TaskScope(this.#stop.signal);
    const { resources, caches } = installResources();
    this.#hub = new CacheHub({ store, clock, log }, caches);
    const cache = (group: string, resource: string) => resources.must(group, 'v1', resource).cache;
    const rbac = new RbacAuthorizer({
      roles: cache('rbac.authorization.k8s.io', 'roles'),
      roleBindings: cache('rbac.authorization.k8s.io', 'rolebindings'),
      clusterRoles: cache('rbac.authorization.k8s.io', 'clusterroles'),
      clusterRoleBindings: cache('rbac.authorization.k8s.io', 'clusterrolebindings'),
    });
    const nodes = new NodeAuthorizer({
      rules: nodeRules(),
      pods: cache('', 'pods'),
      claims: cache('', 'persistentvolumeclaims'),
      attachments: cache('storage.k8s.io', 'volumeattachments'),
    });
    const authorizer = new Authorizer({ rbac, nodes });
    const tokens = new ServiceAccountTokens({
      issuer: config.serviceAccountIssuer,
      keys: { privatePem: keys.serviceAccountKey },
      clock,
      lookup: (resource, namespace, name) =>
        cache('', resource)
          .get(namespace === '' ? name : `${namespace}/${name}`)
          ?.parse(),
    });
    const admission = new AdmissionChain(
      admissionPlugins({
        resources,
        hub: this.#hub,
        authorizer,
        rbac,
        clock,
        random: randomBytes,
        charge: async (at, change, context) => {
          const resource = resources.must('', 'v1', 'resourcequotas');
          await registry.mutate({ resource, ...at }, change, context);
        },
      }),
    );
    const hooks = new WriteHooks(
      new Map<string, KindHooks>([
        ['core/events', new EventTtl({ store, clock })],
        [
          'core/services',
          new ServiceClaims({
            services: cache('', 'services'),
            addresses: cache('networking.k8s.io', 'ipaddresses'),
            hub: this.#hub,
            range: parseIpv4Range(config.serviceCidr),
            nodePortRange: config.nodePortRange,
            random: randomBytes,
            uuid: randomUUID,
          }),
        ],
      ]),
    );
    const io = { store, hub: this.#hub, clock, random: randomBytes, uuid: randomUUID };
    const registry = new Registry(io, { admission, hooks });
    const { signal } = this.#tasks;
    const kubelets = new Kubelets({ nodes: cache('', 'nodes'), files: keys.kubelet });
    this.#services = {
      store,
      hub: this.#hub,
      registry,
      admission,
      resources,
      authorizer,
      rbac,
      tokens,
      kubelets,
      memory: new MemoryBudget(config.requestMemoryBytes ?? requestMemoryBytes()),
      clock,
      log,
      signal,
    };
    this.#metrics = new Metrics(resources);
    this.#router = new Router(allFacts, specialHandlers());
    this.#serverAddress = `${config.advertiseAddress}:${config.advertisePort}`;
    const { version } = config;
    this.#discovery = new DiscoveryHandler({ version, serverAddress: this.#serverAddress });
    this.#openApi = new OpenApiHandler(`${version.gitVersion} ${version.gitCommit}`);
    this.#health = new HealthHandler(this.#checks());
    this.#pipeline = new Pipeline({
      services: this.#services,
      metrics: this.#metrics,
      handler: (call) => this.#dispatch(call),
      audit,
    });
  }

  get services(): Services {
    return this.#services;
  }

  /** Loads the caches and writes what every cluster has. Resolves when requests can be served. */
  async start(): Promise<void> {
    await this.#hub.load(this.#tasks.signal);
    this.#tasks.spawn('follow the store', (signal) => this.#hub.run(signal));
    const bootstrap = new Bootstrap(this.#services);
    await bootstrap.run({
      nodeName: this.#config.nodeName,
      serviceCidr: this.#config.serviceCidr,
      configMap: this.#authenticationData(),
    });
    await this.#hub.waitForLatest(this.#tasks.signal);
    const { advertiseAddress: address, advertisePort: port, serviceCidr } = this.#config;
    const clusterIp = addressAt(parseIpv4Range(serviceCidr), 1);
    await ensureKubernetesService(bootstrap, this.#services, { clusterIp, address, port });
    while ((await aggregateRoles(this.#services, bootstrap)) > 0) {
      await this.#hub.waitForLatest(this.#tasks.signal);
    }
    this.#spawnTasks();
    this.#bootstrapped = true;
  }

  #spawnTasks(): void {
    const { store, clock, log } = this.#services;
    this.#tasks.spawn('compact the store', (signal) =>
      compactPeriodically({ store, clock, log, hub: this.#hub }, signal),
    );
  }

  handle(request: ApiRequest): Promise<ApiResponse> {
    return this.#pipeline.handle(request);
  }

  /** Serves a worker of this process as `user`. */
  servePort(port: MessagePort, user: UserInfo): Disposable {
    return servePort(port, user, (request) => this.handle(request));
  }

  /** Fails when a task of the server failed; resolves when it was stopped. */
  async join(): Promise<void> {
    await this.#tasks.join();
  }

  /** Reports not ready from now on, so that balancers leave. */
  beginShutdown(): void {
    this.#stopping = true;
  }

  /** Ends watches and background tasks. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#stop.abort(new Error('API server stopped'));
    await this.#tasks[Symbol.asyncDispose]();
  }

  #dispatch(call: Call): ApiResponse | Promise<ApiResponse> {
    if (call.info.isResource) return this.#router.route(call);
    const { path } = call.info;
    const document = this.#discovery.handle(call) ?? this.#health.handle(call);
    if (document !== undefined) return document;
    const issuer = oidcDocument(call, this.#serverAddress);
    if (issuer !== undefined) return issuer;
    const schema = this.#openApi.handle(call);
    if (schema !== undefined) return schema;
    if (path === '/metrics') return this.#metrics.reply();
    if (path === '/') return replyObject(200, { paths: PATHS });
    return notServed();
  }

  #checks(): HealthCheck[] {
    const all = ['healthz', 'livez', 'readyz'] as const;
    return [
      { name: 'ping', endpoints: all, check: () => undefined },
      { name: 'log', endpoints: all, check: () => undefined },
      {
        name: 'etcd',
        endpoints: all,
        check: () => (this.#hub.ready ? undefined : 'the watch of the store is broken'),
      },
      {
        name: 'etcd-readiness',
        endpoints: ['readyz'],
        check: () => (this.#hub.ready ? undefined : 'the watch of the store is broken'),
      },
      {
        name: 'informer-sync',
        endpoints: ['readyz'],
        check: () => (this.#hub.ready ? undefined : 'caches are not filled'),
      },
      {
        name: 'poststarthook/rbac/bootstrap-roles',
        endpoints: all,
        check: () => (this.#bootstrapped ? undefined : 'bootstrap is under way'),
      },
      {
        name: 'shutdown',
        endpoints: ['readyz'],
        check: () => (this.#stopping ? 'process is shutting down' : undefined),
      },
    ];
  }

  #authenticationData(): Record<string, string> {
    const { clientCa, frontProxyCa } = this.#keys;
    return {
      'client-ca-file': clientCa,
      ...(frontProxyCa === undefined
        ? {}
        : {
            'requestheader-allowed-names': '["front-proxy-client"]',
            'requestheader-client-ca-file': frontProxyCa,
            'requestheader-extra-headers-prefix': '["X-Remote-Extra-"]',
            'requestheader-group-headers': '["X-Remote-Group"]',
            'requestheader-uid-headers': '["X-Remote-Uid"]',
            'requestheader-username-headers': '["X-Remote-User"]',
          }),
    };
  }
}

const PATHS = [
  '/.well-known/openid-configuration',
  '/api',
  '/api/v1',
  '/apis',
  '/healthz',
  '/livez',
  '/metrics',
  '/openapi/v2',
  '/openapi/v3',
  '/openid/v1/jwks',
  '/readyz',
  '/version',
];

/** The rules of ClusterRole system:node, which kubelets are held to. */
function nodeRules() {
  const found = rbacFacts.objects.find(
    (o) => o.kind === 'ClusterRole' && o.metadata.name === 'system:node',
  );
  return (found as unknown as ClusterRole).rules ?? []; // Extracted by extract-rbac.ts.
}
