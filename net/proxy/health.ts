/**
 * Health check node ports: for a Service of type LoadBalancer with externalTrafficPolicy Local an
 * HTTP server tells load balancers whether this node has endpoints of it (200 with their count, or
 * 503). One server per Service, on every address. Owner: proxy.ts.
 */
import { type Server, createServer } from 'node:http';
import type { Log } from '#base/log.ts';
import type { HealthCheck } from './health-check.ts';

interface Running {
  readonly server: Server;
  check: HealthCheck;
}

export class HealthServers implements AsyncDisposable {
  readonly #log: Log;
  /** By port. */
  readonly #running = new Map<number, Running>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** Starts, updates and stops servers so that they are those of `checks`. */
  apply(checks: readonly HealthCheck[]): void {
    const wanted = new Map(checks.map((check) => [check.port, check]));
    for (const [port, running] of this.#running) {
      if (wanted.has(port)) continue;
      running.server.close();
      running.server.closeAllConnections();
      this.#running.delete(port);
    }
    for (const [port, check] of wanted) {
      const running = this.#running.get(port);
      if (running === undefined) this.#start(check);
      else running.check = check;
    }
  }

  #start(check: HealthCheck): void {
    const server = createServer((_request, response) => {
      const { namespace, name, localEndpointCount } = running.check;
      const body = { service: { namespace, name }, localEndpoints: localEndpointCount };
      response.writeHead(localEndpointCount > 0 ? 200 : 503, {
        'content-type': 'application/json',
        'x-content-type-options': 'nosniff',
        'x-load-balancing-endpoint-weight': String(localEndpointCount),
      });
      response.end(`${JSON.stringify({ ...body, serviceProxyHealthy: true })}\n`);
    });
    const running: Running = { server, check };
    server.on('error', (error) => {
      this.#log.warn('health check port not served', { port: check.port, error });
      if (this.#running.get(check.port) === running) this.#running.delete(check.port);
    });
    server.listen(check.port);
    this.#running.set(check.port, running);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.apply([]);
  }
}
