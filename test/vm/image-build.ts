/** The image, built when it is older than what it is made of; `make run` and the tests of the image use it. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, existsSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { finished } from 'node:stream/promises';
import type { Steps } from './steps.ts';

const CHECKOUT = dirname(dirname(import.meta.dirname));
export const OUT = join(CHECKOUT, 'out');
export const IMAGE_DIR = join(OUT, 'image');
const LOG = join(OUT, 'image.log');
const SOURCES = 'base control daemon image net package-lock.json package.json'.split(' ');
/** Of the build's output, in the error that says that it failed. */
const SHOWN_LINES = 20;

/** Returns the folder that holds the image. What the build prints goes to out/image.log. */
export async function ensureImage(steps: Steps): Promise<string> {
  await steps.run('image', LOG, build);
  return IMAGE_DIR;

  async function build(): Promise<void> {
    if (isFresh(join(IMAGE_DIR, 'bareboat.img'))) return;
    mkdirSync(OUT, { recursive: true });
    const log = createWriteStream(LOG);
    const script = join(CHECKOUT, 'image/make-image.ts');
    const child = spawn(process.execPath, ['--no-warnings', script], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const shown: string[] = [];
    const follow = (stream: NodeJS.ReadableStream, note: boolean) =>
      createInterface(stream).on('line', (line) => {
        log.write(`${line}\n`);
        shown.push(line);
        if (shown.length > SHOWN_LINES) shown.shift();
        if (note) steps.note(line);
      });
    follow(child.stdout, true);
    follow(child.stderr, false);
    const [code, signal] = await once(child, 'close');
    log.end();
    await finished(log);
    if (code === 0) return;
    throw new Error(`the build ended with ${code ?? signal}:\n${shown.join('\n')}`);
  }
}

/** Whether `image` is there and newer than all its sources. */
function isFresh(image: string): boolean {
  if (!existsSync(image)) return false;
  const args = [...SOURCES, '-type', 'f', '-not', '-name', '*.test.ts', '-newer', image];
  return execFileSync('find', args, { cwd: CHECKOUT, encoding: 'utf8' }).trim() === '';
}
