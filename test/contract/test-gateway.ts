/** A gateway of the test's process before services of its choice, and the operator's configuration for it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { silentLog } from '#base/log.ts';
import { parseClusterSecrets } from '#base/machine-config.ts';
import { writePkiFiles } from '#base/pki/node-certificates.ts';
import { issueLeaf } from '#base/pki/pki.ts';
import { runCli } from '#cli/test-run.ts';
import { Gateway } from '#daemon/gateway/gateway.ts';

const COMMAND_MS_MAX = 60_000;

/**
 * Makes a cluster's secrets in `dir` as an operator does, and a gateway with a certificate of them;
 * `dir`/bareboat.yaml names it. A service without a socket is away.
 */
export async function startTestGateway(
  dir: string,
  sockets: { readonly agent?: string; readonly control?: string; readonly supervisor?: string },
): Promise<Gateway> {
  const path = (name: string) => join(dir, name);
  const bareboat = async (...args: string[]) => {
    const { code, notes } = await runCli(args, AbortSignal.timeout(COMMAND_MS_MAX));
    if (code !== 0) throw new Error(`bareboat ${args.join(' ')}: ${notes}`);
  };
  await bareboat('init', '--cluster', 'dev', '--node', 'n1', '--output', dir);
  const { machineCa } = parseClusterSecrets(readFileSync(path('secrets.yaml'), 'utf8'));
  const times = { nowMs: Date.now(), lifetimeMs: 3_600_000 };
  const subject = { commonName: 'n1' };
  const leaf = await issueLeaf(machineCa, { subject, usages: ['server'], ...times });
  const files = new Map([
    ['server.crt', leaf.certificate],
    ['server.key', leaf.key],
    ['ca.crt', machineCa.certificate],
  ]);
  writePkiFiles(path('gateway'), files);
  const away = path('none.sock');
  const gateway = new Gateway({
    listen: { host: '127.0.0.1', port: 0 },
    pkiDir: path('gateway'),
    maintenance: false,
    sockets: { supervisor: away, agent: away, control: away, ...sockets },
    log: silentLog,
  });
  const port = await gateway.listen();
  await bareboat('--config', path('bareboat.yaml'), 'config', 'endpoint', `127.0.0.1:${port}`);
  return gateway;
}
