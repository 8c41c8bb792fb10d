/**
 * What an operator does with a machine, through the programs that an operator has: `bareboat` and
 * kubectl. Both are run as they are; nothing here talks to the machine by itself but the fetch of the
 * sample's page.
 */
import { execFile, type ExecFileException } from 'node:child_process';
import { dirname, join } from 'node:path';
import { get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const CHECKOUT = dirname(dirname(import.meta.dirname));
const OUTPUT_BYTES_MAX = 64 << 20;

export interface OperatorFiles {
  /** Client configuration of the machine API, made by `bareboat init`. */
  readonly clientConfig: string;
  readonly kubeconfig: string;
  readonly kubectl: string;
}

/** What must not be tried again. */
export class Refused extends Error {
  override readonly name = 'Refused';
}

export class CommandFailed extends Error {
  override readonly name = 'CommandFailed';
}

/** Runs a program; resolves to what it printed. Throws CommandFailed with its messages. */
export function command(
  program: string,
  args: readonly string[],
  options: { input?: string; env?: NodeJS.ProcessEnv; timeoutMs: number },
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      program,
      args,
      {
        encoding: 'utf8',
        env: { ...process.env, ...options.env },
        maxBuffer: OUTPUT_BYTES_MAX,
        timeout: options.timeoutMs,
        killSignal: 'SIGKILL',
      },
      (error: ExecFileException | null, stdout, stderr) => {
        if (error === null) return resolve(stdout);
        const seconds = options.timeoutMs / 1000;
        const why = error.killed === true ? `no end within ${seconds} s` : `code ${error.code}`;
        const text = `${stderr}${stdout}`.trim();
        reject(new CommandFailed(`${program.split('/').at(-1)} ${args[0]}: ${why}: ${text}`));
      },
    );
    child.stdin?.on('error', () => {}); // It ended without reading; its exit code says why.
    child.stdin?.end(options.input ?? '');
  });
}

export class Operator {
  readonly #files: OperatorFiles;
  readonly #timeoutMs: number;

  /** `timeoutMs` bounds each command. */
  constructor(files: OperatorFiles, timeoutMs: number) {
    this.#files = files;
    this.#timeoutMs = timeoutMs;
  }

  bareboat(...args: string[]): Promise<string> {
    const env = { BAREBOAT_CONFIG: this.#files.clientConfig };
    return command(join(CHECKOUT, 'bareboat'), args, { env, timeoutMs: this.#timeoutMs });
  }

  kubectl(...args: string[]): Promise<string> {
    return this.#kubectl(args, '');
  }

  apply(...manifests: readonly object[]): Promise<string> {
    const documents = manifests.map((manifest) => JSON.stringify(manifest)).join('\n---\n');
    return this.#kubectl(['apply', '-f', '-'], documents);
  }

  #kubectl(args: readonly string[], input: string): Promise<string> {
    const env = { KUBECONFIG: this.#files.kubeconfig };
    return command(this.#files.kubectl, args, { env, input, timeoutMs: this.#timeoutMs });
  }
}

/** The body of a page. Throws on any status but 200. */
export function fetchPage(url: string, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get(url, { timeout: timeoutMs, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.once('error', reject);
      response.once('end', () => {
        if (response.statusCode === 200) resolve(Buffer.concat(chunks).toString('utf8'));
        else reject(new Error(`${url}: status ${response.statusCode}`));
      });
    });
    request.once('error', reject);
    request.once('timeout', () => request.destroy(new Error(`${url}: no answer`)));
  });
}

/** Repeats `attempt` until it gives something but undefined or false; any error but Refused is tried again. */
export async function eventually<T>(
  what: string,
  timeoutMs: number,
  attempt: () => Promise<T> | T,
): Promise<Exclude<T, undefined | false>> {
  const deadline = Date.now() + timeoutMs;
  let last: unknown = new Error('not yet');
  for (;;) {
    try {
      const result = await attempt();
      if (result !== undefined && result !== false) return result as Exclude<T, undefined | false>; // Just compared.
      last = new Error('not yet');
    } catch (error) {
      if (error instanceof Refused) throw error;
      last = error; // It may work later; the deadline decides.
    }
    if (Date.now() > deadline)
      throw new Error(`${what}: not within ${timeoutMs / 1000} s`, { cause: last });
    await sleep(200);
  }
}
