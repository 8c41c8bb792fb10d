/**
 * Kernel modules: which files make a module work, in which order, and which modules a device asks for.
 * The lists are depmod's (modules.dep(5), modules.alias): parsed once, planned purely, loaded by
 * finit_module(2), which the kernel lets decompress.
 */
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorText, isErrno } from '#base/errors.ts';
import { loadModule, loadModuleInBackground } from '#base/linux/syscall.ts';
import type { Log } from '#base/log.ts';

export interface ModuleIndex {
  /** Path of a module by its name, `-` written as `_`. */
  readonly paths: ReadonlyMap<string, string>;
  /** Paths that must be loaded before, nearest first, by path. */
  readonly dependencies: ReadonlyMap<string, readonly string[]>;
  /**
   * Patterns of modaliases and the module that serves each, by the bus that a modalias begins with
   * (`pci`, `virtio`): there are thousands, and a pattern is only compiled when its bus is asked for.
   */
  readonly aliases: ReadonlyMap<
    string,
    readonly { readonly pattern: string; readonly module: string }[]
  >;
}

/** Parses `modules.dep` (`path: path...`) and `modules.alias` (`alias PATTERN MODULE`). */
export function parseModuleIndex(dep: string, alias: string): ModuleIndex {
  const paths = new Map<string, string>();
  const dependencies = new Map<string, readonly string[]>();
  for (const line of dep.split('\n')) {
    const colon = line.indexOf(':');
    if (colon < 0) continue;
    const path = line.slice(0, colon);
    paths.set(moduleName(path), path);
    dependencies.set(
      path,
      line
        .slice(colon + 1)
        .split(' ')
        .filter((word) => word !== ''),
    );
  }
  const aliases = new Map<string, { pattern: string; module: string }[]>();
  for (const line of alias.split('\n')) {
    const [word, pattern, module] = line.split(' ');
    if (word !== 'alias' || pattern === undefined || module === undefined) continue;
    const bus = busOf(pattern);
    const known = aliases.get(bus);
    if (known === undefined) aliases.set(bus, [{ pattern, module }]);
    else known.push({ pattern, module });
  }
  return { paths, dependencies, aliases };
}

/** Paths to load for `module`, dependencies first; empty when it is unknown (or built in). */
export function planLoad(index: ModuleIndex, module: string): string[] {
  const path = index.paths.get(normalize(module));
  if (path === undefined) return [];
  // depmod lists nearest first, so that the reverse is an order of loading.
  return [...(index.dependencies.get(path) ?? [])].toReversed().concat(path);
}

/** Modules that serve a device whose modalias is `alias`. */
export function modulesFor(index: ModuleIndex, alias: string): string[] {
  const candidates = index.aliases.get(busOf(alias)) ?? [];
  const found = candidates.filter(({ pattern }) => {
    // Most patterns differ within their fixed beginning, which is cheaper to compare.
    const fixed = pattern.slice(0, pattern.search(/[*?[]|$/));
    return alias.startsWith(fixed) && globPattern(pattern).test(alias);
  });
  return [...new Set(found.map(({ module }) => normalize(module)))];
}

function busOf(alias: string): string {
  return alias.slice(0, alias.indexOf(':') + 1);
}

function moduleName(path: string): string {
  return normalize((path.split('/').at(-1) ?? '').replace(/\.ko(\.\w+)?$/, ''));
}

function normalize(name: string): string {
  return name.replaceAll('-', '_');
}

/** fnmatch(3) patterns as depmod writes them: `*`, `?` and `[...]`. */
function globPattern(pattern: string): RegExp {
  const source = pattern
    .replaceAll(/[.+^${}()|\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${source}$`);
}

function compression(path: string): { compressed: boolean } {
  return { compressed: !path.endsWith('.ko') };
}

export class ModuleLoader {
  readonly #dir: string;
  readonly #log: Log;
  readonly #index: ModuleIndex;
  readonly #done = new Set<string>();

  private constructor(options: { dir: string; index: ModuleIndex; log: Log }) {
    this.#dir = options.dir;
    this.#log = options.log;
    this.#index = options.index;
  }

  /** `release` is the kernel's, as uname(2) says it. Undefined when there are no modules for it. */
  static open(options: { release: string; log: Log }): ModuleLoader | undefined {
    const dir = join('/usr/lib/modules', options.release);
    const read = (name: string) => readFileSync(join(dir, name), 'latin1');
    try {
      const index = parseModuleIndex(read('modules.dep'), read('modules.alias'));
      return new ModuleLoader({ dir, index, log: options.log });
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return undefined; // A kernel that is not the image's own.
      throw error;
    }
  }

  /** Loads a module and what it needs; what is loaded or built in is skipped, failures are logged. */
  load(module: string): void {
    for (const path of planLoad(this.#index, module)) {
      if (this.#done.has(path)) continue;
      this.#done.add(path);
      this.#loadFile(path);
    }
  }

  /** Loads modules one after the other on another thread, while this one goes on; failures are warnings. */
  loadInBackground(modules: readonly string[]): Promise<void> {
    return this.#loadInBackground(modules, 'warn');
  }

  async #loadInBackground(modules: readonly string[], level: 'info' | 'warn'): Promise<void> {
    for (const module of modules) {
      for (const path of planLoad(this.#index, module)) {
        if (this.#done.has(path)) continue;
        this.#done.add(path);
        // An earlier supervisor may have loaded it: the kernel would unpack it before it says so.
        if (existsSync(join('/sys/module', moduleName(path)))) continue;
        const fd = openSync(join(this.#dir, path), 'r');
        const loaded = await loadModuleInBackground(fd, compression(path));
        closeSync(fd);
        if (!loaded && !existsSync(join('/sys/module', moduleName(path)))) {
          this.#log[level]('cannot load module', { path });
        }
      }
    }
  }

  /** Loads whatever serves a device. */
  loadFor(alias: string): void {
    for (const module of modulesFor(this.#index, alias)) this.load(module);
  }

  /** The same in the background. That a driver finds no hardware of its own (ENODEV) is no failure. */
  loadForInBackground(alias: string): Promise<void> {
    return this.#loadInBackground(modulesFor(this.#index, alias), 'info');
  }

  #loadFile(path: string): void {
    const fd = openSync(join(this.#dir, path), 'r');
    try {
      loadModule(fd, compression(path));
    } catch (error) {
      if (isErrno(error, 'EEXIST', 'ENODEV')) return; // Loaded already; or its hardware is not there.
      this.#log.warn('cannot load module', { path, error: errorText(error) });
    } finally {
      closeSync(fd);
    }
  }
}
