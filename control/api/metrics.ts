/**
 * The metrics of the API server, under upstream's names (reference/kubernetes-api.md section 2.15).
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { ApiResponse } from './exchange.ts';
import type { Call } from './handlers/call.ts';
import { isLongRunning } from './request-deadline.ts';
import { resources as allFacts } from '#control/schema/schema.ts';
import type { ServedResources } from './registry/served-resource.ts';

const BUCKETS = [
  0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45,
  60,
];

/** Only names that exist become label values: what clients invent would grow without bound. */
const KNOWN: ReadonlySet<string> = new Set(
  allFacts.map(({ group, version, resource }) => `${group}/${version}/${resource}`),
);
const KNOWN_PATHS: ReadonlySet<string> = new Set([
  'api',
  'apis',
  'version',
  'healthz',
  'livez',
  'readyz',
  'metrics',
  'openapi',
  'openid',
]);

export class Metrics {
  readonly registry = new Registry();
  readonly #duration: Histogram;
  readonly #total: Counter;

  constructor(resources: ServedResources) {
    const registers = [this.registry];
    const labels = ['verb', 'dry_run', 'group', 'version', 'resource', 'subresource', 'scope'];
    this.#duration = new Histogram({
      name: 'apiserver_request_duration_seconds',
      help: 'Response latency of requests that are not long-running.',
      labelNames: [...labels, 'component'],
      buckets: BUCKETS,
      registers,
    });
    this.#total = new Counter({
      name: 'apiserver_request_total',
      help: 'Requests by verb, resource and code.',
      labelNames: [...labels, 'component', 'code'],
      registers,
    });
    const objects = new Gauge({
      name: 'apiserver_resource_objects',
      help: 'Stored objects by resource.',
      labelNames: ['group', 'resource'],
      registers,
      collect() {
        for (const { facts, cache } of resources.all) {
          objects.set({ group: facts.group, resource: facts.resource }, cache.size);
        }
      },
    });
    const watchers = new Gauge({
      name: 'apiserver_longrunning_requests',
      help: 'Watches under way by resource.',
      labelNames: ['verb', 'group', 'version', 'resource', 'component'],
      registers,
      collect() {
        for (const { facts, cache } of resources.all) {
          const { group, version, resource } = facts;
          const component = 'apiserver';
          watchers.set({ verb: 'WATCH', group, version, resource, component }, cache.receiverCount);
        }
      },
    });
    collectDefaultMetrics({ register: this.registry });
  }

  observe(call: Call, code: number, durationMs: number): void {
    const { info } = call;
    const known = KNOWN.has(`${info.group}/${info.version}/${info.resource}`);
    const root = info.path.split('/')[1] ?? '';
    const labels = {
      verb: info.verb.toUpperCase(),
      dry_run: call.query.get('dryRun') ?? '',
      group: known ? info.group : '',
      version: known ? info.version : '',
      resource: known ? info.resource : '',
      subresource:
        known && code !== 404 ? info.subresource : KNOWN_PATHS.has(root) ? `/${root}` : '',
      scope: scopeOf(call),
      component: 'apiserver',
    };
    this.#total.inc({ ...labels, code });
    if (isLongRunning(info)) return;
    this.#duration.observe(labels, durationMs / 1000);
  }

  async reply(): Promise<ApiResponse> {
    const body = Buffer.from(await this.registry.metrics());
    return { status: 200, headers: { 'content-type': this.registry.contentType }, body };
  }
}

function scopeOf(call: Call): string {
  const { isResource, name, namespace } = call.info;
  if (!isResource) return '';
  if (name !== '') return 'resource';
  return namespace === '' ? 'cluster' : 'namespace';
}
