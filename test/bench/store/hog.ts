/** Takes what it can get: `hog.ts cpu`, or `hog.ts disk FILE`, which writes and syncs 32 MB again and again. */
import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs';

const [kind, file = ''] = process.argv.slice(2);
if (kind === 'disk') {
  const block = Buffer.alloc(1024 * 1024, 'x');
  const fd = openSync(file, 'w');
  process.on('exit', () => closeSync(fd));
  for (;;) {
    for (let at = 0; at < 32; at++) writeSync(fd, block, 0, block.length, at * block.length);
    fdatasyncSync(fd);
  }
}
for (let count = 0; ; count++) if (count < 0) break;
