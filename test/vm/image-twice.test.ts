/**
 * Two builds of the image give equal bytes: the second is `make image` in a copy of the checkout, with all
 * different that may differ between two machines. Its folder lies in a file system that lists files in another
 * order (tmpfs: newest first); host name, home, umask, time zone and language are others, and it is
 * later. What both have in common is what a lock fixes: Debian packages (the cache) and node_modules.
 */
import { createHash } from 'node:crypto';
import { createReadStream, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import t from 'tap';
import { imagePaths } from '#image/paths.ts';
import { archiveWorkTree } from '../work-tree.ts';
import { ensureImage } from './image-build.ts';
import { command } from './operator.ts';
import { Steps } from './steps.ts';

const BUILD_MS = 900_000;
/** Of tmpfs: the build roots, the root tree and the products. */
const SCRATCH_BYTES = 3 * 2 ** 30;
const PRODUCTS = [
  'vmlinuz',
  'root.erofs',
  'initramfs',
  'bareboat.efi',
  'bareboat.img',
  'bareboat.spdx.json',
];

if (process.getuid?.() !== 0) {
  t.plan(0, 'a build in namespaces of its own needs root');
  process.exit(0);
}
t.setTimeout(1_700_000);

/** $1: mount point; $2: archive of the checkout; $3: its node_modules; then the products to hash. */
const SECOND_BUILD = `set -e
scratch=$1 archive=$2 modules=$3; shift 3
mount -t tmpfs -o size=${SCRATCH_BYTES} tmpfs "$scratch"
echo elsewhere > /proc/sys/kernel/hostname
umask 077
mkdir -p "$scratch/home" "$scratch/another place/checkout/node_modules"
cd "$scratch/another place/checkout"
tar --extract --touch --no-same-permissions --file "$archive"
mount --bind "$modules" node_modules
mount -o remount,bind,ro node_modules
HOME=$scratch/home make image >&2
cd out/image
sha256sum "$@"
`;

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

t.test('two builds give equal bytes', async (t) => {
  const image = await ensureImage(new Steps((line) => t.comment(line)));
  const dir = mkdtempSync(join(tmpdir(), 'bareboat-twice-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const archive = join(dir, 'checkout.tar');
  archiveWorkTree(archive);
  const scratch = join(dir, 'scratch');
  mkdirSync(scratch);

  const { repository, debCache } = imagePaths();
  const namespaces = ['--mount', '--uts', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const places = [scratch, archive, join(repository, 'node_modules')];
  const output = await command(
    'unshare',
    [...namespaces, 'sh', '-c', SECOND_BUILD, 'sh', ...places, ...PRODUCTS],
    {
      env: {
        XDG_CACHE_HOME: dirname(dirname(debCache)),
        TZ: 'Pacific/Kiritimati',
        LANG: 'tr_TR.UTF-8',
        LC_ALL: 'tr_TR.UTF-8',
        NODE_OPTIONS: '', // The test runner's; make has nothing to do with it.
      },
      timeoutMs: BUILD_MS,
    },
  );
  const second = Object.fromEntries(
    output.split('\n').map((line) => line.split(/ +/).toReversed().slice(0, 2)),
  );
  for (const name of PRODUCTS) t.equal(second[name], await sha256(join(image, name)), name);
});
