/**
 * Rules on projected volumes, whose sources share one directory and so must not share file names.
 * Source: kubernetes v1.36.3 pkg/apis/core/validation.
 */
import type {
  ClusterTrustBundleProjection,
  PodCertificateProjection,
  ProjectedVolumeSource,
  ServiceAccountTokenProjection,
  VolumeProjection,
} from '#base/kube/api/core-v1.gen.ts';
import { type FieldErrors, RenderedValue, sortedMap } from './field-errors.ts';
import { byteLength, checkDnsSubdomain } from './formats.ts';
import { selectorValue, validateLabelSelector } from './meta.ts';
import { validateFileMode, validateVolumeFilePath } from './paths.ts';
import {
  isKubernetesSigner,
  validateDomainPrefixedKey,
  validateSignerName,
} from './signer-names.ts';
import { validateDownwardFile, validateKeyPath } from './volume-items.ts';

const CONFLICT = 'conflicting duplicate paths';
const KEY_TYPES = ['RSA3072', 'RSA4096', 'ECDSAP256', 'ECDSAP384', 'ECDSAP521', 'ED25519'];
const TOKEN_SECONDS_MIN = 600;
const TOKEN_SECONDS_MAX = 2 ** 32;
const HOUR = 3600;
const CERTIFICATE_SECONDS_MAX = 91 * 24 * HOUR;

/** Paths taken so far, and where a clash is reported. */
interface Paths {
  readonly at: string;
  readonly taken: Set<string>;
}

export function validateProjectedVolume(
  e: FieldErrors,
  at: string,
  volume: ProjectedVolumeSource,
): void {
  validateFileMode(e, `${at}.defaultMode`, volume.defaultMode);
  const paths: Paths = { at, taken: new Set() };
  for (const [i, source] of (volume.sources ?? []).entries()) {
    validateSource(e, `${at}.sources[${i}]`, source, paths);
  }
}

function takePath(e: FieldErrors, paths: Paths, path: string, badValue: unknown): void {
  if (paths.taken.has(path)) e.invalid(paths.at, badValue, CONFLICT);
  paths.taken.add(path);
}

function validateSource(e: FieldErrors, at: string, source: VolumeProjection, paths: Paths): void {
  for (const kind of ['secret', 'configMap'] as const) {
    const projection = source[kind];
    if (projection === undefined) continue;
    if ((projection.name ?? '') === '') e.required(`${at}.${kind}.name`);
    for (const [i, item] of (projection.items ?? []).entries()) {
      validateKeyPath(e, `${at}.${kind}.items[${i}]`, item);
      if ((item.path ?? '') !== '') takePath(e, paths, item.path, projection.name ?? '');
    }
  }
  for (const file of source.downwardAPI?.items ?? []) {
    validateDownwardFile(e, `${at}.downwardAPI`, file);
    if ((file.path ?? '') !== '') takePath(e, paths, file.path, file.path);
  }
  if (source.serviceAccountToken !== undefined) {
    validateToken(e, `${at}.serviceAccountToken`, source.serviceAccountToken, paths);
  }
  if (source.clusterTrustBundle !== undefined) {
    validateTrustBundle(e, `${at}.clusterTrustBundle`, source.clusterTrustBundle, paths);
  }
  if (source.podCertificate !== undefined) {
    validateCertificate(e, `${at}.podCertificate`, source.podCertificate, paths);
  }
  if (Object.values(source).filter((kind) => kind !== undefined).length > 1) {
    e.forbidden(at, 'may not specify more than 1 volume type per source');
  }
}

function validateToken(
  e: FieldErrors,
  at: string,
  token: ServiceAccountTokenProjection,
  paths: Paths,
): void {
  const seconds = token.expirationSeconds ?? 0;
  const field = `${at}.expirationSeconds`;
  if (seconds < TOKEN_SECONDS_MIN) {
    e.invalid(field, seconds, 'may not specify a duration less than 10 minutes');
  }
  if (seconds > TOKEN_SECONDS_MAX) {
    e.invalid(field, seconds, 'may not specify a duration larger than 2^32 seconds');
  }
  // The path of the volume, not of the source: clients know it so.
  if ((token.path ?? '') === '') e.required(`${paths.at}.path`);
  else validateVolumeFilePath(e, `${paths.at}.path`, token.path);
}

function validateTrustBundle(
  e: FieldErrors,
  at: string,
  bundle: ClusterTrustBundleProjection,
  paths: Paths,
): void {
  const { name, signerName, labelSelector } = bundle;
  if (name !== undefined && signerName !== undefined) {
    e.invalid(at, trustBundleValue(bundle), 'only one of name and signerName may be used');
  } else if (name !== undefined) {
    if (name === '') e.required(`${at}.name`, 'must be a valid object name');
    const own = name.includes(':') ? name.slice(name.lastIndexOf(':') + 1) : name;
    for (const message of checkDnsSubdomain(own)) {
      e.invalid(`${at}.name`, name, `not a valid clustertrustbundlename: ${message}`);
    }
    if (labelSelector !== undefined) {
      const detail = 'labelSelector must be unset if name is specified';
      e.invalid(`${at}.labelSelector`, selectorValue(labelSelector), detail);
    }
  } else if (signerName !== undefined) {
    if (signerName === '') e.required(`${at}.signerName`, 'must be a valid signer name');
    validateSignerName(e, `${at}.signerName`, signerName);
    validateLabelSelector(e, `${at}.labelSelector`, labelSelector);
  } else e.required(at, 'either name or signerName must be specified');
  const path = bundle.path ?? '';
  if (path === '') e.required(`${at}.path`);
  validateVolumeFilePath(e, `${at}.path`, path);
  takePath(e, paths, path, path);
}

function trustBundleValue(bundle: ClusterTrustBundleProjection): RenderedValue {
  const value = {
    Name: bundle.name ?? null,
    SignerName: bundle.signerName ?? null,
    LabelSelector: bundle.labelSelector ?? null,
    Optional: bundle.optional ?? null,
    Path: bundle.path,
  };
  return new RenderedValue(JSON.stringify(value));
}

function validateCertificate(
  e: FieldErrors,
  at: string,
  certificate: PodCertificateProjection,
  paths: Paths,
): void {
  const signer = certificate.signerName ?? '';
  validateSignerName(e, `${at}.signerName`, signer);
  validateUserAnnotations(e, `${at}.userAnnotations`, certificate.userAnnotations);
  const keyType = certificate.keyType ?? '';
  if (!KEY_TYPES.includes(keyType)) e.notSupported(`${at}.keyType`, keyType, KEY_TYPES);
  const seconds = certificate.maxExpirationSeconds;
  if (seconds !== undefined) {
    const field = `${at}.maxExpirationSeconds`;
    if (seconds < HOUR)
      e.invalid(field, seconds, 'if provided, maxExpirationSeconds must be >= 3600');
    const most = isKubernetesSigner(signer) ? 24 * HOUR : CERTIFICATE_SECONDS_MAX;
    if (seconds > most) {
      e.invalid(field, seconds, `if provided, maxExpirationSeconds must be <= ${most}`);
    }
  }
  let count = 0;
  for (const field of ['credentialBundlePath', 'keyPath', 'certificateChainPath'] as const) {
    const path = certificate[field] ?? '';
    if (path === '') continue;
    count += 1;
    validateVolumeFilePath(e, `${at}.${field}`, path);
    takePath(e, paths, path, path);
  }
  if (count === 0) {
    const detail =
      'specify at least one of credentialBundlePath, keyPath, and certificateChainPath';
    e.required(at, detail);
  }
}

function validateUserAnnotations(
  e: FieldErrors,
  path: string,
  annotations: Readonly<Record<string, string>> = {},
): void {
  let bytes = 0;
  for (const [key, value] of Object.entries(sortedMap(annotations))) {
    validateDomainPrefixedKey(e, path, key.toLowerCase());
    bytes += byteLength(key) + byteLength(value);
  }
  if (bytes > 256 * 1024) e.tooLong(path, 256 * 1024);
}
