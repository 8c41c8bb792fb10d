/**
 * /healthz, /livez and /readyz: named checks, one line each with ?verbose, single ones by path,
 * some left out with ?exclude.
 */
import type { ApiResponse } from '../exchange.ts';
import type { Call } from './call.ts';
import { replyText } from './reply.ts';
import { notServed } from './router.ts';

export interface HealthCheck {
  readonly name: string;
  /** Which of the three endpoints ask it. */
  readonly endpoints: readonly ('healthz' | 'livez' | 'readyz')[];
  /** undefined = good; else why not, for the log only: clients are told "reason withheld". */
  check(): string | undefined;
}

export class HealthHandler {
  readonly #checks: readonly HealthCheck[];

  constructor(checks: readonly HealthCheck[]) {
    this.#checks = checks;
  }

  /** undefined: the path is no health endpoint. */
  handle(call: Call): ApiResponse | undefined {
    const [endpoint, only, ...more] = call.info.path.split('/').filter((p) => p !== '');
    if (endpoint !== 'healthz' && endpoint !== 'livez' && endpoint !== 'readyz') return undefined;
    if (more.length > 0) return notServed();
    const own = this.#checks.filter((c) => c.endpoints.includes(endpoint));
    if (only !== undefined) {
      const check = own.find((c) => c.name === only);
      if (check === undefined) return notServed();
      return this.#single(call, check);
    }
    const excluded = new Set(call.query.getAll('exclude'));
    const lines: string[] = [];
    let failed = 0;
    for (const check of own) {
      if (excluded.has(check.name)) {
        lines.push(`[+]${check.name} excluded: ok`);
        continue;
      }
      const why = check.check();
      if (why === undefined) {
        lines.push(`[+]${check.name} ok`);
        continue;
      }
      failed++;
      call.services.log.warn('health check failed', { check: check.name, why });
      lines.push(`[-]${check.name} failed: reason withheld`);
    }
    if (failed > 0) {
      return replyText(500, `${lines.join('\n')}\n${endpoint} check failed\n`);
    }
    if (!call.query.has('verbose')) return replyText(200, 'ok');
    return replyText(200, `${lines.join('\n')}\n${endpoint} check passed\n`);
  }

  #single(call: Call, check: HealthCheck): ApiResponse {
    const why = check.check();
    if (why === undefined) return replyText(200, 'ok');
    call.services.log.warn('health check failed', { check: check.name, why });
    return replyText(500, `internal server error: ${check.name} failed\n`);
  }
}
