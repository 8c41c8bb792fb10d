/**
 * What a bill of materials has to look like, as far as ours goes: fields, allowed values and required fields
 * of SPDX 2.3's JSON format. Its schema writes some values otherwise than the specification's text
 * (`OPERATING_SYSTEM`), and allows no other fields. Tests of the code and of a build check by it.
 */
import { z } from 'zod';

const id = z.string().regex(/^SPDXRef-[A-Za-z0-9.-]+$/);
/** License expressions (annex D) of identifiers, `(MIT OR Apache-2.0)`, or no statement. */
const license = z
  .string()
  .regex(/^(\(*[A-Za-z0-9.-]+\+?\)*( (AND|OR|WITH) \(*[A-Za-z0-9.-]+\+?\)*)*)$/);

const checksum = z.discriminatedUnion('algorithm', [
  z.strictObject({
    algorithm: z.literal('SHA256'),
    checksumValue: z.string().regex(/^[0-9a-f]{64}$/),
  }),
  z.strictObject({
    algorithm: z.literal('SHA512'),
    checksumValue: z.string().regex(/^[0-9a-f]{128}$/),
  }),
]);

const spdxPackage = z.strictObject({
  name: z.string().min(1),
  SPDXID: id,
  versionInfo: z.string().min(1),
  downloadLocation: z.literal(['NOASSERTION', 'NONE']),
  filesAnalyzed: z.literal(false),
  licenseConcluded: license,
  licenseDeclared: license,
  copyrightText: z.string().min(1),
  comment: z.string().optional(),
  packageFileName: z.string().optional(),
  primaryPackagePurpose: z.literal(['OPERATING_SYSTEM', 'APPLICATION', 'LIBRARY']).optional(),
  supplier: z
    .string()
    .regex(/^(Organization|Person): ./)
    .optional(),
  checksums: z.array(checksum).min(1).optional(),
  externalRefs: z
    .array(
      z.strictObject({
        referenceCategory: z.literal('PACKAGE-MANAGER'),
        referenceType: z.literal('purl'),
        referenceLocator: z.string().regex(/^pkg:(deb|npm)\/[^@ ]+@[^@ ]+$/),
      }),
    )
    .optional(),
});

export const spdxDocument = z
  .strictObject({
    spdxVersion: z.literal('SPDX-2.3'),
    dataLicense: z.literal('CC0-1.0'),
    SPDXID: z.literal('SPDXRef-DOCUMENT'),
    name: z.string().min(1),
    documentNamespace: z.url().regex(/^[^#]*$/),
    creationInfo: z.strictObject({
      created: z.iso.datetime({ precision: 0 }),
      creators: z.array(z.string().regex(/^(Tool|Organization|Person): ./)).min(1),
    }),
    packages: z.array(spdxPackage).min(1),
    relationships: z.array(
      z.strictObject({
        spdxElementId: id,
        relationshipType: z.literal(['DESCRIBES', 'CONTAINS', 'STATIC_LINK', 'BUILD_TOOL_OF']),
        relatedSpdxElement: id,
      }),
    ),
  })
  .superRefine((document, context) => {
    const ids = [document.SPDXID, ...document.packages.map((p) => p.SPDXID)];
    const known = new Set<string>(ids);
    const fault = (message: string) => context.addIssue({ code: 'custom', message });
    if (known.size < ids.length) fault('an SPDXID names two elements');
    const related = new Set<string>();
    for (const { spdxElementId, relatedSpdxElement } of document.relationships) {
      for (const name of [spdxElementId, relatedSpdxElement]) {
        related.add(name);
        if (!known.has(name)) fault(`a relationship names ${name}, which is not there`);
      }
    }
    for (const name of ids) if (!related.has(name)) fault(`nothing relates to ${name}`);
  });

export type SpdxDocument = z.infer<typeof spdxDocument>;
