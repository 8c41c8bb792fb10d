/** Gets a small text by http or https: of a configuration that a machine is told to start with. */
import { existsSync, readFileSync } from 'node:fs';
import { get as getHttp, type IncomingMessage } from 'node:http';
import { get as getHttps } from 'node:https';

const BYTES_MAX = 1 << 20;
const TIMEOUT_MS = 10_000;
const REDIRECTS_MAX = 3;
const CA_FILE = '/etc/ssl/certs/ca-certificates.crt';

/** The body of a 200 answer. Throws Error with the URL and why; the whole takes at most TIMEOUT_MS a hop. */
export async function fetchDocument(url: string): Promise<string> {
  let at = url;
  for (let hop = 0; hop <= REDIRECTS_MAX; hop++) {
    const answer = await request(at);
    if (answer.location === undefined) return answer.text;
    at = new URL(answer.location, at).href;
    if (!/^https?:/.test(at)) throw new Error(`${url}: leads to ${at}`);
  }
  throw new Error(`${url}: more than ${REDIRECTS_MAX} redirections`);
}

type Answer = { text: string; location: undefined } | { text: ''; location: string };

function request(url: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const fail = (why: string) => reject(new Error(`${url}: ${why}`));
    const onResponse = (response: IncomingMessage) => {
      const { statusCode = 0, headers } = response;
      if (statusCode >= 300 && statusCode < 400 && headers.location !== undefined) {
        response.resume();
        resolve({ text: '', location: headers.location });
        return;
      }
      if (statusCode !== 200) {
        response.resume();
        fail(`status ${statusCode}`);
        return;
      }
      const chunks: Buffer[] = [];
      let length = 0;
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        length += chunk.length;
        if (length > BYTES_MAX) request.destroy(new Error(`more than ${BYTES_MAX} bytes`));
      });
      response.once('error', (error) => fail(error.message));
      response.once('end', () =>
        resolve({ text: Buffer.concat(chunks).toString('utf8'), location: undefined }),
      );
    };
    const request = url.startsWith('https:')
      ? getHttps(url, { agent: false, ...trusted() }, onResponse)
      : getHttp(url, { agent: false }, onResponse);
    // Of the whole, not of one silence: a server that sends a byte a second must end too.
    const timer = setTimeout(() => request.destroy(new Error('no answer in time')), TIMEOUT_MS);
    request.once('close', () => clearTimeout(timer));
    request.once('error', (error) => fail(error.message));
  });
}

function trusted(): { ca?: Buffer } {
  return existsSync(CA_FILE) ? { ca: readFileSync(CA_FILE) } : {};
}
