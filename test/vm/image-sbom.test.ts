/**
 * The bill of materials of a real build: it is SPDX 2.3, it is of this UKI, and it names what the locks and the
 * sources name, with their versions and hashes.
 */
import { createHash } from 'node:crypto';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { LINKED, RELEASE } from '#image/packages.ts';
import { debianArchitecture, imagePaths } from '#image/paths.ts';
import { type SpdxDocument, spdxDocument } from '#image/spdx.ts';
import { preparePackages } from '#image/steps.ts';
import { ensureImage } from './image-build.ts';
import { Steps } from './steps.ts';

if (process.getuid?.() !== 0) {
  t.plan(0, 'making the image needs root');
  process.exit(0);
}
t.setTimeout(1_700_000);

const image = await ensureImage(new Steps((line) => t.comment(line)));
const paths = imagePaths();
const text = readFileSync(join(image, 'bareboat.spdx.json'), 'utf8');
const document: SpdxDocument = JSON.parse(text);
const hashOf = (bytes: Uint8Array, algorithm: string) =>
  createHash(algorithm).update(bytes).digest('hex');

/** Package URL to what the document says of it. */
const byUrl = new Map(
  document.packages.flatMap((p) =>
    (p.externalRefs ?? []).map(({ referenceLocator }) => [referenceLocator, p] as const),
  ),
);
/** How the image relates to a package, or it to the image. */
const relationOf = (id: string) =>
  document.relationships
    .filter((r) => r.relatedSpdxElement === id || r.spdxElementId === id)
    .map((r) => r.relationshipType)
    .toSorted();

t.test('is SPDX 2.3', async (t) => {
  t.same(spdxDocument.safeParse(document).error?.issues, undefined);
});

t.test('describes the UKI beside it', async (t) => {
  const { relatedSpdxElement: id } =
    document.relationships.find((r) => r.relationshipType === 'DESCRIBES') ?? {};
  const described = document.packages.find((p) => p.SPDXID === id);
  t.equal(described?.packageFileName, 'bareboat.efi');
  const sha256 = hashOf(readFileSync(join(image, 'bareboat.efi')), 'sha256');
  t.same(described?.checksums, [{ algorithm: 'SHA256', checksumValue: sha256 }]);
});

t.test('names every Debian package, with its hash and its part', async (t) => {
  const { root, build } = preparePackages(paths).fetched;
  const wanted = new Map<string, { sha256: string; relations: string[] }>();
  const want = (p: { name: string; version: string; sha256: string }, relation: string) => {
    const query = `arch=${debianArchitecture()}&distro=${RELEASE}`;
    const url = `pkg:deb/debian/${encodeURIComponent(p.name)}@${encodeURIComponent(p.version)}?${query}`;
    const relations = [...(wanted.get(url)?.relations ?? []), relation].toSorted();
    wanted.set(url, { sha256: p.sha256, relations });
  };
  for (const p of root) want(p, 'CONTAINS');
  for (const p of build) want(p, LINKED.includes(p.name) ? 'STATIC_LINK' : 'BUILD_TOOL_OF');
  for (const [url, { sha256, relations }] of wanted) {
    const found = byUrl.get(url);
    t.same(found?.checksums, [{ algorithm: 'SHA256', checksumValue: sha256 }], url);
    t.same(relationOf(found?.SPDXID ?? ''), relations, url);
  }
  const debian = [...byUrl.keys()].filter((url) => url.startsWith('pkg:deb/'));
  t.same(debian.toSorted(), [...wanted.keys()].toSorted(), 'and no other');
});

interface NpmLock {
  readonly packages: Readonly<
    Record<string, { version?: string; integrity?: string; dev?: boolean }>
  >;
}
const lock: NpmLock = JSON.parse(readFileSync(join(paths.repository, 'package-lock.json'), 'utf8'));
const npm = [...byUrl].filter(([url]) => url.startsWith('pkg:npm/'));

t.test('names npm packages as they are locked, none of them for development', async (t) => {
  t.not(npm.length, 0);
  for (const [url, { name, versionInfo, checksums }] of npm) {
    const locked = Object.entries(lock.packages).find(
      ([path, p]) => path.endsWith(`node_modules/${name}`) && p.version === versionInfo,
    )?.[1];
    t.ok(locked !== undefined && locked.dev !== true, url);
    const sha512 = Buffer.from(locked?.integrity?.replace('sha512-', '') ?? '', 'base64');
    const checksumValue = sha512.toString('hex');
    t.same(checksums, [{ algorithm: 'SHA512', checksumValue }], url);
  }
});

t.test('names Node, and every npm package that a source of the machine imports', async (t) => {
  const names = new Set(npm.map(([, { name }]) => name));
  t.ok(names.has(`node-linux-${process.arch}`));
  const sources = globSync('{base,net,daemon,control}/**/*.ts', { cwd: paths.repository });
  const imported = new Set<string>();
  for (const path of sources.filter((name) => !/\.test\.ts$|\/generate/.test(name))) {
    const source = readFileSync(join(paths.repository, path), 'utf8');
    const pattern = /^import (?!type )[^;]*? from '((?:@[a-z][\w-]*\/)?[a-z][\w.-]*)['/]/gm;
    for (const [, name = ''] of source.matchAll(pattern)) imported.add(name);
  }
  t.ok(imported.has('ws') && imported.has('zod'), 'the sources are read');
  for (const name of imported) t.ok(names.has(name), name);
});
