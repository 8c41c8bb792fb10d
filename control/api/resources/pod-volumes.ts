/**
 * Rules on the volumes of a pod: one source each, and what each source wants. The volumes that pass
 * are returned, for containers to mount.
 * Source: kubernetes v1.36.3 pkg/apis/core/validation.
 */
import type { EphemeralVolumeSource, KeyToPath, Volume } from '#base/kube/api/core-v1.gen.ts';
import type { ObjectMeta } from '#base/kube/api/meta-v1.gen.ts';
import { compareQuantities, parseQuantity } from '#base/kube/quantity.ts';
import { FieldErrors, goQuote } from './field-errors.ts';
import { checkDnsLabel, checkDnsSubdomain } from './formats.ts';
import { validateTemplateMeta } from './meta.ts';
import { networkVolumeRules } from './network-volumes.ts';
import { validateFileMode, validateNoBacksteps } from './paths.ts';
import { validateClaimSpec } from './persistent-volume-claim-spec.ts';
import { validateProjectedVolume } from './projected-volumes.ts';
import { validateDownwardFile, validateKeyPath } from './volume-items.ts';

export interface VolumeContext {
  /** Absent for the template of a workload. */
  readonly podMeta?: Partial<ObjectMeta> | undefined;
}

type Sources = Omit<Volume, 'name'>;

const ONE_SOURCE = 'may not specify more than 1 volume type';
const HOST_PATH_TYPES = [
  '',
  'BlockDevice',
  'CharDevice',
  'Directory',
  'DirectoryOrCreate',
  'File',
  'FileOrCreate',
  'Socket',
];
export const PULL_POLICIES: readonly string[] = ['Always', 'IfNotPresent', 'Never'];

/** In the order in which upstream looks at them, which decides which of two is refused. */
const ORDER: readonly (keyof Sources)[] = [
  'emptyDir',
  'hostPath',
  'gitRepo',
  'gcePersistentDisk',
  'awsElasticBlockStore',
  'secret',
  'nfs',
  'iscsi',
  'glusterfs',
  'flocker',
  'persistentVolumeClaim',
  'rbd',
  'cinder',
  'cephfs',
  'quobyte',
  'downwardAPI',
  'fc',
  'flexVolume',
  'configMap',
  'azureFile',
  'vsphereVolume',
  'photonPersistentDisk',
  'portworxVolume',
  'azureDisk',
  'storageos',
  'projected',
  'scaleIO',
  'csi',
  'ephemeral',
  'image',
];
/** Fields that upstream spells differently in its complaints. */
const SPELLING: Readonly<Record<string, string>> = { cephfs: 'cephFS', downwardAPI: 'downwarAPI' };
const RULE_PATH: Readonly<Record<string, string>> = { gcePersistentDisk: 'persistentDisk' };

export function validateVolumes(
  e: FieldErrors,
  path: string,
  volumes: readonly Volume[],
  context: VolumeContext,
): ReadonlyMap<string, Volume> {
  const valid = new Map<string, Volume>();
  const podName = context.podMeta?.name ?? '';
  const created = new Set(
    volumes
      .filter((volume) => podName !== '' && volume.ephemeral !== undefined)
      .map((volume) => `${podName}-${volume.name}`),
  );
  for (const [i, volume] of volumes.entries()) {
    const at = `${path}[${i}]`;
    const own = new FieldErrors();
    validateSources(own, at, volume, context);
    const name = volume.name ?? '';
    if (name === '') own.required(`${at}.name`);
    else own.invalidEach(`${at}.name`, name, checkDnsLabel(name));
    if (valid.has(name)) own.duplicate(`${at}.name`, name);
    if (own.ok) valid.set(name, volume);
    e.list.push(...own.list);
    const claim = volume.persistentVolumeClaim?.claimName ?? '';
    if (created.has(claim)) {
      e.invalid(
        `${at}.persistentVolumeClaim.claimName`,
        claim,
        'must not reference a PVC that gets created for an ephemeral volume',
      );
    }
  }
  return valid;
}

function validateSources(e: FieldErrors, at: string, volume: Volume, context: VolumeContext): void {
  let count = 0;
  for (const source of ORDER) {
    if (volume[source] === undefined) continue;
    if (count > 0) {
      e.forbidden(`${at}.${SPELLING[source] ?? source}`, ONE_SOURCE);
      continue;
    }
    count += 1;
    validateSource(e, `${at}.${RULE_PATH[source] ?? source}`, volume);
    if (source === 'ephemeral') validateCreatedClaim(e, at, volume.name, context);
  }
  if (count === 0) e.required(at, 'must specify a volume type');
}

/** Only the first source of the volume is set here, or the others were refused. */
function validateSource(e: FieldErrors, at: string, volume: Volume): void {
  const source = ORDER.find((key) => volume[key] !== undefined);
  const rule = source === undefined ? undefined : networkVolumeRules[source];
  if (rule !== undefined) rule(e, at, volume);
  else validateNodeVolume(e, at, volume, source);
}

function validateNodeVolume(
  e: FieldErrors,
  at: string,
  volume: Volume,
  source: keyof Sources | undefined,
): void {
  switch (source) {
    case 'emptyDir': {
      const limit = volume.emptyDir?.sizeLimit;
      if (limit === undefined) return;
      if (compareQuantities(parseQuantity(limit), parseQuantity('0')) < 0) {
        e.forbidden(`${at}.sizeLimit`, 'SizeLimit field must be a valid resource quantity');
      }
      return;
    }
    case 'hostPath': {
      const path = volume.hostPath?.path ?? '';
      if (path === '') return e.required(`${at}.path`);
      validateNoBacksteps(e, `${at}.path`, path);
      const type = volume.hostPath?.type ?? '';
      if (!HOST_PATH_TYPES.includes(type)) e.notSupported(`${at}.type`, type, HOST_PATH_TYPES);
      return;
    }
    case 'secret':
      if ((volume.secret?.secretName ?? '') === '') e.required(`${at}.secretName`);
      validateFileMode(e, `${at}.defaultMode`, volume.secret?.defaultMode);
      return validateKeyPaths(e, `${at}.items`, volume.secret?.items);
    case 'configMap':
      if ((volume.configMap?.name ?? '') === '') e.required(`${at}.name`);
      validateFileMode(e, `${at}.defaultMode`, volume.configMap?.defaultMode);
      return validateKeyPaths(e, `${at}.items`, volume.configMap?.items);
    case 'persistentVolumeClaim':
      if ((volume.persistentVolumeClaim?.claimName ?? '') === '') e.required(`${at}.claimName`);
      return;
    case 'downwardAPI':
      validateFileMode(e, `${at}.defaultMode`, volume.downwardAPI?.defaultMode);
      for (const file of volume.downwardAPI?.items ?? []) validateDownwardFile(e, at, file);
      return;
    case 'projected':
      return validateProjectedVolume(e, at, volume.projected ?? {});
    case 'ephemeral':
      return validateEphemeralVolume(e, at, volume.ephemeral ?? {});
    case 'image':
      if ((volume.image?.reference ?? '') === '') e.required(`${at}.reference`);
      return validatePullPolicy(e, `${at}.pullPolicy`, volume.image?.pullPolicy);
    default:
  }
}

export function validatePullPolicy(
  e: FieldErrors,
  field: string,
  policy: string | undefined,
): void {
  if (policy === undefined || policy === '') e.required(field);
  else if (!PULL_POLICIES.includes(policy)) e.notSupported(field, policy, PULL_POLICIES);
}

function validateKeyPaths(e: FieldErrors, path: string, items: readonly KeyToPath[] = []): void {
  for (const [i, item] of items.entries()) validateKeyPath(e, `${path}[${i}]`, item);
}

function validateEphemeralVolume(e: FieldErrors, at: string, source: EphemeralVolumeSource): void {
  const template = source.volumeClaimTemplate;
  if (template === undefined) return e.required(`${at}.volumeClaimTemplate`);
  const path = `${at}.volumeClaimTemplate`;
  const meta = template.metadata as Partial<ObjectMeta> | undefined; // A template has no name.
  validateTemplateMeta(e, `${path}.metadata`, meta);
  for (const field of Object.keys(meta ?? {}).sort()) {
    if (field !== 'labels' && field !== 'annotations') {
      e.forbidden(`${path}.metadata.${field}`, 'cannot be set');
    }
  }
  validateClaimSpec(e, `${path}.spec`, template.spec);
}

function validateCreatedClaim(
  e: FieldErrors,
  at: string,
  volumeName: string,
  context: VolumeContext,
): void {
  const podName = context.podMeta?.name ?? '';
  if (podName === '' || volumeName === '') return;
  const claim = `${podName}-${volumeName}`;
  for (const message of checkDnsSubdomain(claim)) {
    e.invalid(`${at}.name`, volumeName, `PVC name ${goQuote(claim)}: ${message}`);
  }
}
