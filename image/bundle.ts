/**
 * Bundles each process of the machine into one JavaScript file, with the worker threads that it starts
 * and the files that it reads beside it. Code that several processes share, or that one imports later
 * (`await import`), lies in files of its own.
 *
 * `new URL('./x.ts', import.meta.url)` in a source names a worker's entry point or a data file. The
 * bundle puts what it names into the output folder and the reference is rewritten, so that one
 * source runs both from the tree and from the bundle. Native addons stay outside, in node_modules.
 */
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import { basename, dirname, extname, join, relative, resolve } from 'node:path';
import { build, type Plugin } from 'esbuild';
import { assert } from '#base/assert.ts';
import { imagePaths } from './paths.ts';

/** Process 1 of a development node: in the root tree, not in the image. */
export const DEV_INIT = 'dev-init';

/** Entry point by name of the process; `NAME.js` in the output folder. */
export const PROCESSES: Readonly<Record<string, string>> = {
  agent: 'daemon/agent/main.ts',
  control: 'control/main.ts',
  [DEV_INIT]: 'test/dev/init.ts',
  gateway: 'daemon/gateway/main.ts',
  supervisor: 'daemon/supervisor/main.ts',
};

/** Packages with native code, which stay outside of bundles. */
const EXTERNAL = ['koffi'];

/** Folders in node_modules that the bundles load from: copied into the image as they are. */
export const NATIVE_PACKAGES = [
  'koffi',
  `@koromix/koffi-${process.platform}-${process.arch}`,
] as const;

const REFERENCE = /new URL\(\s*'(\.[^']+)',\s*import\.meta\.url,?\s*\)/g;

/**
 * Bundles `names` into `outDir`. Returns the sources that went in, as paths from the repository, sorted.
 * Throws when a name is none of `PROCESSES`.
 */
export async function bundle(names: readonly string[], outDir: string): Promise<string[]> {
  const { repository } = imagePaths();
  mkdirSync(outDir, { recursive: true });
  const entries = new Map<string, string>();
  for (const name of names) {
    const entry = PROCESSES[name];
    assert(entry !== undefined, `no process is called ${name}`);
    entries.set(name, join(repository, entry));
  }
  const inputs = new Set<string>();
  const done = new Set<string>();
  // Workers found in one round are entry points of the next.
  while (entries.size > done.size) {
    // Sorted: the order in which esbuild came upon them is not the same each time.
    const round = [...entries].filter(([name]) => !done.has(name)).toSorted(byName);
    for (const [name] of round) done.add(name);
    const { metafile } = await build({
      entryPoints: Object.fromEntries(round),
      outdir: outDir,
      absWorkingDir: repository,
      bundle: true,
      splitting: true,
      chunkNames: 'shared-[hash]',
      platform: 'node',
      format: 'esm',
      target: 'node26',
      minifySyntax: true,
      // Names stay, and lines short, so that stack traces can be read.
      minifyWhitespace: true,
      lineLimit: 160,
      legalComments: 'none',
      external: EXTERNAL,
      banner: {
        js: "import { createRequire as $createRequire } from 'node:module'; const require = $createRequire(import.meta.url);",
      },
      plugins: [references(entries, outDir)],
      logLevel: 'warning',
      metafile: true,
    });
    for (const output of Object.values(metafile.outputs)) {
      for (const [path, { bytesInOutput }] of Object.entries(output.inputs)) {
        if (bytesInOutput > 0) inputs.add(path);
      }
    }
  }
  return [...inputs].toSorted();
}

function references(entries: Map<string, string>, outDir: string): Plugin {
  const { repository } = imagePaths();
  return {
    name: 'references',
    setup(pluginBuild) {
      pluginBuild.onLoad({ filter: /\.ts$/ }, ({ path }) => {
        if (path.includes('/node_modules/')) return undefined;
        const text = readFileSync(path, 'utf8');
        if (!text.includes('import.meta.url')) return undefined;
        const contents = text.replaceAll(REFERENCE, (_, target: string) => {
          const file = resolve(dirname(path), target);
          const name = outputName(relative(repository, file));
          if (extname(file) !== '.ts') {
            copyFileSync(file, join(outDir, name));
            return `new URL('./${name}', import.meta.url)`;
          }
          entries.set(basename(name, '.ts'), file);
          return `new URL('./${basename(name, '.ts')}.js', import.meta.url)`;
        });
        return { contents, loader: 'ts' };
      });
    },
  };
}

function byName([a]: readonly [string, string], [b]: readonly [string, string]): number {
  return a < b ? -1 : 1;
}

/** `control/store/worker.ts` becomes `control-store-worker.ts`: unique in one folder. */
function outputName(path: string): string {
  return path.replaceAll('/', '-');
}
