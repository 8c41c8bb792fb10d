/**
 * The image's bill of materials, SPDX 2.3 as JSON: Bareboat, every Debian package that gives files or is
 * linked in, the tools that built it, Node with what it carries in itself, and the npm packages of the
 * bundles. Equal input gives equal bytes: it is as old as the epoch, and its namespace is the image's
 * hash. Field names and allowed values are those of the SPDX 2.3 specification, clauses 6, 7 and 11, as its
 * JSON format spells them (spdx.ts).
 */
import { createHash } from 'node:crypto';
import type { LockedPackage } from './debian/apt.ts';

export interface NpmPackage {
  readonly name: string;
  readonly version: string;
  /** Expression as its package.json has it. */
  readonly license?: string | undefined;
  /** Subresource integrity: `sha512-` and base64. */
  readonly integrity?: string | undefined;
}

export interface SbomParts {
  /** Of Bareboat. */
  readonly version: string;
  /** Debian's name. */
  readonly architecture: string;
  readonly release: string;
  /** Of the unified kernel image, hexadecimal. */
  readonly imageSha256: string;
  /** Debian packages in the root file system. */
  readonly contained: readonly LockedPackage[];
  /** Debian packages of which stage0, dhcpcd's hook and the EFI stub are made. */
  readonly linked: readonly LockedPackage[];
  /** The other packages of the build root. */
  readonly tools: readonly LockedPackage[];
  readonly node: NpmPackage;
  /** `process.versions` of that Node. */
  readonly nodeVersions: Readonly<Record<string, string | undefined>>;
  /** In the bundles, or beside them. */
  readonly npm: readonly NpmPackage[];
}

interface SpdxPackage {
  readonly name: string;
  readonly SPDXID: string;
  readonly versionInfo: string;
  readonly [field: string]: unknown;
}

const NO_ASSERTION = 'NOASSERTION';
const IMAGE_ID = 'SPDXRef-Package-bareboat';

/** The document's text. */
export function formatSbom(parts: SbomParts): string {
  const debian = (p: LockedPackage) => debianPackage(p, parts);
  const contained = parts.contained.map(debian);
  const linked = parts.linked.map(debian);
  const tools = parts.tools.map(debian);
  const npm = parts.npm.map(npmPackage);
  const node = {
    ...npmPackage(parts.node),
    comment: 'without symbols, and without ICU data of other languages than English',
  };
  const inNode = nodeComponents(parts.nodeVersions);
  const relate = (from: string, type: string, to: string) => ({
    spdxElementId: from,
    relationshipType: type,
    relatedSpdxElement: to,
  });
  const packages = unique([
    imagePackage(parts),
    ...contained,
    ...linked,
    ...tools,
    node,
    ...inNode,
    ...npm,
  ]);
  const document = {
    spdxVersion: 'SPDX-2.3',
    dataLicense: 'CC0-1.0',
    SPDXID: 'SPDXRef-DOCUMENT',
    name: `bareboat-${parts.version}-${parts.architecture}`,
    documentNamespace: `urn:uuid:${uuidOf(parts.imageSha256)}`,
    creationInfo: {
      created: '1970-01-01T00:00:00Z',
      creators: [`Tool: bareboat-image-${parts.version}`],
    },
    packages,
    relationships: [
      relate('SPDXRef-DOCUMENT', 'DESCRIBES', IMAGE_ID),
      ...[...contained, node, ...npm].map((p) => relate(IMAGE_ID, 'CONTAINS', p.SPDXID)),
      ...linked.map((p) => relate(IMAGE_ID, 'STATIC_LINK', p.SPDXID)),
      ...tools.map((p) => relate(p.SPDXID, 'BUILD_TOOL_OF', IMAGE_ID)),
      ...inNode.map((p) => relate(node.SPDXID, 'CONTAINS', p.SPDXID)),
    ],
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

function imagePackage(parts: SbomParts): SpdxPackage {
  return {
    ...basics(IMAGE_ID, 'bareboat', parts.version),
    packageFileName: 'bareboat.efi',
    licenseDeclared: 'Apache-2.0',
    primaryPackagePurpose: 'OPERATING_SYSTEM',
    checksums: [{ algorithm: 'SHA256', checksumValue: parts.imageSha256 }],
  };
}

function debianPackage(
  p: LockedPackage,
  at: { architecture: string; release: string },
): SpdxPackage {
  const query = `arch=${at.architecture}&distro=${at.release}`;
  const purl = `pkg:deb/debian/${encodeURIComponent(p.name)}@${encodeURIComponent(p.version)}?${query}`;
  return {
    ...basics(idOf('deb', p.name, p.version), p.name, p.version),
    supplier: 'Organization: Debian',
    checksums: [{ algorithm: 'SHA256', checksumValue: p.sha256 }],
    externalRefs: [packageUrl(purl)],
  };
}

function npmPackage(p: NpmPackage): SpdxPackage {
  const name = p.name.split('/').map(encodeURIComponent).join('/');
  const sha512 = /^sha512-(.+)$/.exec(p.integrity ?? '')?.[1];
  return {
    ...basics(idOf('npm', p.name, p.version), p.name, p.version),
    licenseDeclared: p.license ?? NO_ASSERTION,
    ...(sha512 !== undefined && {
      checksums: [
        { algorithm: 'SHA512', checksumValue: Buffer.from(sha512, 'base64').toString('hex') },
      ],
    }),
    externalRefs: [packageUrl(`pkg:npm/${name}@${encodeURIComponent(p.version)}`)],
  };
}

/** Versions of interfaces, not of something that Node carries. */
const NOT_CARRIED = new Set(['modules', 'napi', 'node']);

function nodeComponents(versions: SbomParts['nodeVersions']): SpdxPackage[] {
  return Object.entries(versions)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([name, version]) =>
      version === undefined || version === '' || NOT_CARRIED.has(name)
        ? []
        : [basics(idOf('node', name, version), name, version)],
    );
}

function basics(id: string, name: string, version: string): SpdxPackage {
  return {
    name,
    SPDXID: id,
    versionInfo: version,
    downloadLocation: NO_ASSERTION,
    filesAnalyzed: false,
    licenseConcluded: NO_ASSERTION,
    licenseDeclared: NO_ASSERTION,
    copyrightText: NO_ASSERTION,
  };
}

/** Identifiers hold letters, digits, `.` and `-`; what else a version holds is written as its code. */
function idOf(kind: string, name: string, version: string): string {
  const plain = `${name}-${version}`.replaceAll(
    /[^A-Za-z0-9.-]/g,
    (c) => `-${c.charCodeAt(0).toString(16)}-`,
  );
  return `SPDXRef-Package-${kind}-${plain}`;
}

function packageUrl(purl: string): object {
  return {
    referenceCategory: 'PACKAGE-MANAGER',
    referenceType: 'purl',
    referenceLocator: purl,
  };
}

/** A package of the root that the build root has as well is named once. */
function unique(packages: readonly SpdxPackage[]): SpdxPackage[] {
  return [...new Map(packages.map((p) => [p.SPDXID, p])).values()];
}

/** A UUID of version 8 (RFC 9562, section 5.8): the beginning of a hash. */
function uuidOf(sha256: string): string {
  const hex = createHash('sha256').update(`bareboat sbom ${sha256}`).digest('hex');
  const variant = ((Number.parseInt(hex.slice(16, 17), 16) & 3) | 8).toString(16);
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `${variant}${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join('-');
}
