/** The gateway process: `main.js CONFIG.json`. Ends on SIGTERM; certificates are re-read when they change. */
import { readFileSync, watch } from 'node:fs';
import { z } from 'zod';
import { saveCodeCache } from '#base/code-cache.ts';
import { errorText } from '#base/errors.ts';
import { FdLog } from '#base/log.ts';
import { Gateway } from './gateway.ts';

const schema = z.strictObject({
  listen: z.strictObject({ host: z.string().optional(), port: z.int().min(0).max(65535) }),
  pkiDir: z.string(),
  maintenance: z.boolean(),
  sockets: z.strictObject({ supervisor: z.string(), agent: z.string(), control: z.string() }),
  logLevel: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
});

/** Files of a change arrive one by one. */
const SETTLE_MS = 200;

async function main(): Promise<void> {
  const config = schema.parse(JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')));
  const log = new FdLog({ level: config.logLevel, area: 'gateway' });
  const gateway = new Gateway({ ...config, log });
  const port = await gateway.listen();
  log.info('machine API is served', { port, maintenance: config.maintenance });
  saveCodeCache();
  let timer: NodeJS.Timeout | undefined;
  watch(config.pkiDir, () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      try {
        gateway.reload();
        log.info('certificates read again');
      } catch (error) {
        log.warn('certificates not usable, the old ones stay', { error });
      }
    }, SETTLE_MS);
  });
  process.once('SIGTERM', () => {
    gateway[Symbol.asyncDispose]().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  });
}

main().catch((error: unknown) => {
  process.stderr.write(`gateway: ${errorText(error)}\n`);
  process.exit(1);
});
