/**
 * Builds upstream's conformance suite and its test images from the public Go modules: e2e.test and
 * agnhost of the Kubernetes release that this project follows. Needs Go; what is built is kept in the
 * user's cache, so that only the first run pays (about four minutes on two cores).
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ArchiveEntry, writeArchive } from '#image/archive.ts';
import { busyboxEntries, GROUP, PASSWD } from '#image/busybox.ts';
import { busyboxShell, DEBIAN_TOOLS, debianToolEntries } from './debian-tools.ts';

export const KUBERNETES_VERSION = '1.36.3';

const CACHE = join(
  process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'),
  `bareboat-upstream/v${KUBERNETES_VERSION}`,
);
const PROGRAMS = {
  'e2e.test': ['test', '-c', 'k8s.io/kubernetes/test/e2e'],
  agnhost: ['build', 'k8s.io/kubernetes/test/images/agnhost'],
  nonewprivs: ['build', 'k8s.io/kubernetes/test/images/nonewprivs'],
} as const;
const PATH_ENV = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Path of an upstream program, built at the first call. Throws when Go is missing or fails. */
export function ensureProgram(name: keyof typeof PROGRAMS): string {
  const target = join(CACHE, 'bin', name);
  if (existsSync(target)) return target;
  console.log(`building upstream's ${name} (once)`);
  const module = goModule();
  const [verb, ...rest] = PROGRAMS[name];
  const flags = rest.slice(0, -1);
  const version = ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version']
    .map((p) => `-X ${p}.gitVersion=v${KUBERNETES_VERSION} -X ${p}.gitMajor=1 -X ${p}.gitMinor=36`)
    .join(' ');
  execFileSync(
    'go',
    [verb, ...flags, '-trimpath', '-ldflags', `-s -w ${version}`, '-o', target, rest.at(-1) ?? ''],
    { cwd: module, stdio: 'inherit', env: goEnv() },
  );
  return target;
}

/** The folder of the Kubernetes module, downloaded at the first call. */
function kubernetesSource(): string {
  const download = execFileSync(
    'go',
    ['mod', 'download', '-json', `k8s.io/kubernetes@v${KUBERNETES_VERSION}`],
    { cwd: tmpdir(), encoding: 'utf8' },
  );
  return JSON.parse(download).Dir;
}

/** A module that requires Kubernetes and points its unversioned parts at their releases. */
function goModule(): string {
  const dir = join(CACHE, 'kubernetes');
  if (existsSync(join(dir, 'go.mod'))) return dir;
  mkdirSync(dir, { recursive: true });
  const source = kubernetesSource();
  const parts = [
    ...readFileSync(join(source, 'go.mod'), 'utf8').matchAll(/^\s+(k8s\.io\/\S+) v0\.0\.0\b/gm),
  ];
  const minor = KUBERNETES_VERSION.slice(2);
  const lines = [
    'module conformance',
    'go 1.26.0',
    `require k8s.io/kubernetes v${KUBERNETES_VERSION}`,
    ...new Set(parts.map(([, name]) => `replace ${name} => ${name} v0.${minor}`)),
  ];
  writeFileSync(join(dir, 'go.mod'), `${lines.join('\n')}\n`);
  return dir;
}

function goEnv(): NodeJS.ProcessEnv {
  return { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-mod=mod -buildvcs=false' };
}

export interface TestImage {
  /** The docker archive. */
  readonly path: string;
  readonly names: readonly string[];
}

/** Writes the archives of the images that the tests use into `dir`. */
export async function buildImages(dir: string): Promise<TestImage[]> {
  const registry = 'registry.k8s.io/e2e-test-images';
  const applets = busyboxEntries().filter(
    ({ path }) => !DEBIAN_TOOLS.some((name) => path === `bin/${name}`),
  );
  const agnhost: ArchiveEntry[] = [
    ...applets,
    ...debianToolEntries(CACHE),
    { path: 'agnhost', kind: 'copy', from: ensureProgram('agnhost'), mode: 0o755 },
  ];
  // What upstream's Dockerfile adds beside the program.
  const porter = join(kubernetesSource(), 'test/images/agnhost/porter');
  const agnhostFiles: ArchiveEntry[] = [
    ...agnhost,
    { path: 'agnhost-2', kind: 'link', target: 'agnhost' },
    { path: 'uploads', kind: 'directory' },
    { path: 'localhost.crt', kind: 'copy', from: join(porter, 'localhost.crt'), mode: 0o644 },
    { path: 'localhost.key', kind: 'copy', from: join(porter, 'localhost.key'), mode: 0o644 },
    {
      path: 'etc/passwd',
      kind: 'file',
      content: `${PASSWD}user-defined-in-image:x:1000:1000::/home:/bin/sh\n`,
    },
    {
      path: 'etc/group',
      kind: 'file',
      content: `${GROUP}group-defined-in-image:x:50000:user-defined-in-image\n`,
    },
  ];
  // Web servers that say what they are: `{"image":"nautilus.jpg"}` at /data.json.
  const demo = (name: string): ArchiveEntry[] => [
    ...busyboxEntries(),
    { path: 'data.json', kind: 'file', content: `{"image":"${name}.jpg"}\n` },
    { path: 'etc/os-release', kind: 'file', content: 'NAME="Alpine Linux"\nID=alpine\n' },
  ];
  const nonewprivs: ArchiveEntry[] = [
    ...busyboxEntries(),
    { path: 'bin/nnp', kind: 'copy', from: ensureProgram('nonewprivs'), mode: 0o6755 },
  ];
  const serve = {
    Entrypoint: ['/bin/busybox', 'httpd', '-f', '-p', '80', '-h', '/'],
    Env: [PATH_ENV],
  };
  const images = [
    {
      file: 'busybox.tar',
      names: [
        `${registry}/busybox:1.37.0-1`,
        `${registry}/busybox:1.36.1-1`,
        'docker.io/library/busybox:latest',
      ],
      entries: [...busyboxEntries(), ...busyboxShell(CACHE)],
      config: { Cmd: ['sh'], Env: [PATH_ENV] },
    },
    {
      file: 'agnhost.tar',
      // The DNS tests also look names up through glibc, in an image for that alone.
      names: [
        `${registry}/agnhost:2.63.0`,
        `${registry}/agnhost:2.55`,
        `${registry}/glibc-dns-testing:2.0.0`,
      ],
      entries: agnhostFiles,
      config: { Entrypoint: ['/agnhost'], Cmd: ['pause'], Env: [PATH_ENV] },
    },
    {
      // agnhost's `pause` does what the pause image does: nothing, until a signal.
      file: 'pause.tar',
      names: ['registry.k8s.io/pause:3.10.2', 'registry.k8s.io/pause:3.10.1'],
      entries: agnhost.slice(-1),
      config: { Entrypoint: ['/agnhost', 'pause'], Env: [PATH_ENV] },
    },
    {
      // Says which user it runs as: root by its set-user-id bit, unless that is forbidden.
      file: 'nonewprivs.tar',
      names: [`${registry}/nonewprivs:1.4`],
      entries: nonewprivs,
      config: { Cmd: ['nnp'], Env: [PATH_ENV] },
    },
    {
      file: 'nautilus.tar',
      names: [`${registry}/nautilus:1.8`],
      entries: demo('nautilus'),
      config: serve,
    },
    {
      file: 'kitten.tar',
      names: [`${registry}/kitten:1.8`],
      entries: demo('kitten'),
      config: serve,
    },
    // Tests that only want some web server.
    {
      file: 'nginx.tar',
      names: [`${registry}/nginx:1.15-4`, `${registry}/nginx:1.27-0`],
      entries: demo('nginx'),
      config: serve,
    },
  ];
  const built: TestImage[] = [];
  for (const { file, ...request } of images) {
    const path = join(dir, file);
    await writeArchive(request, path);
    built.push({ path, names: request.names });
  }
  return built;
}

if (import.meta.main) {
  for (const { path } of await buildImages(process.argv[2] ?? 'out/images')) console.log(path);
}
