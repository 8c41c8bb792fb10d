/**
 * Bundles each process of the machine into one JavaScript file, with the worker threads that it starts
 * and the files that it reads beside it. Code that several processes share, or that one imports later
 * (`await import`), lies in files of its own.
 *
 * `new URL('./x.ts', import.meta.url)` in a source names a worker's entry point or a data file. The
 * bundle puts what it names into the output folder and the reference is rewritten, so that one
 * source runs both from the tree and from the bundle. Native addons stay outside, in node_modules.
 */
import { copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { basename, dirname, extname, join, relative, resolve } from 'node:path';
import { build, type Plugin } from 'esbuild';
import { imagePaths } from './paths.ts';

/** Entry point by name of the process; `NAME.js` in the output folder. */
export const PROCESSES: Readonly<Record<string, string>> = {
  agent: 'daemon/agent/main.ts',
  control: 'control/main.ts',
  'dev-init': 'test/dev/init.ts',
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

/** Bundles `names` (those that exist in the tree) into `outDir`. Returns the files written. */
export async function bundle(names: readonly string[], outDir: string): Promise<string[]> {
  const { repository } = imagePaths();
  mkdirSync(outDir, { recursive: true });
  const entries = new Map<string, string>();
  for (const name of names) {
    const entry = PROCESSES[name];
    if (entry !== undefined && existsSync(join(repository, entry))) {
      entries.set(name, join(repository, entry));
    }
  }
  const outputs = [...entries.keys()].map((name) => join(outDir, `${name}.js`));
  const done = new Set<string>();
  // Workers found in one round are entry points of the next.
  while (entries.size > done.size) {
    const round = [...entries].filter(([name]) => !done.has(name));
    for (const [name] of round) done.add(name);
    await build({
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
      legalComments: 'none',
      external: EXTERNAL,
      banner: {
        js: "import { createRequire as $createRequire } from 'node:module'; const require = $createRequire(import.meta.url);",
      },
      plugins: [references(entries, outDir)],
      logLevel: 'warning',
    });
  }
  return outputs;
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

/** `control/store/worker.ts` becomes `control-store-worker.ts`: unique in one folder. */
function outputName(path: string): string {
  return path.replaceAll('/', '-');
}
