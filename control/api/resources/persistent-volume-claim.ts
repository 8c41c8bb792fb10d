/** Rules of v1 PersistentVolumeClaims. Source: kubernetes v1.36.3 pkg/apis/core, pkg/registry/core. */
import type {
  PersistentVolumeClaim,
  PersistentVolumeClaimSpec,
} from '#base/kube/api/core-v1.gen.ts';
import { compareQuantities, formatQuantity, parseQuantity } from '#base/kube/quantity.ts';
import type { ResourceRules } from '../resource.ts';
import { type FieldErrors, RenderedValue } from './field-errors.ts';
import { internalValue } from './internal-form.ts';
import { jsonDiff } from './json-diff.ts';
import { IMMUTABLE, subdomainName, validateMeta, validateMetaUpdate } from './meta.ts';
import { validateClaimSpec } from './persistent-volume-claim-spec.ts';
import { defaultClaimSpec } from './pod-defaults.ts';
import { sameValue } from './same-value.ts';
import { collect, collectUpdate, copyField } from './strategies.ts';
import { age, tableOf, UNSET } from './tables.ts';

const META = { namespaced: true, name: subdomainName, coreFinalizers: true };
export const CLASS_ANNOTATION = 'volume.beta.kubernetes.io/storage-class';
const MODE_SHORT: Readonly<Record<string, string>> = {
  ReadWriteOnce: 'RWO',
  ReadOnlyMany: 'ROX',
  ReadWriteMany: 'RWX',
  ReadWriteOncePod: 'RWOP',
};

/** `RWO,RWX`, in upstream's order. */
export function accessModesText(modes: readonly string[] | undefined): string {
  const given = new Set(modes ?? []);
  return Object.keys(MODE_SHORT)
    .filter((mode) => given.has(mode))
    .map((mode) => MODE_SHORT[mode])
    .join(',');
}

export const quantityText = (text: string | undefined): string =>
  formatQuantity(parseQuantity(text ?? '0'));

/** The old and the new field for data sources say the same. Others than these two kinds are new. */
function syncDataSources(spec: PersistentVolumeClaimSpec, old?: PersistentVolumeClaimSpec): void {
  const { dataSource: source, dataSourceRef: ref } = spec;
  const isInUse = old?.dataSource !== undefined || old?.dataSourceRef !== undefined;
  const isClaim = source?.kind === 'PersistentVolumeClaim' && (source.apiGroup ?? '') === '';
  const isSnapshot =
    source?.kind === 'VolumeSnapshot' && source.apiGroup === 'snapshot.storage.k8s.io';
  if (!isInUse && ref === undefined && !isClaim && !isSnapshot) delete spec.dataSource;
  if (spec.dataSource !== undefined && ref === undefined) {
    spec.dataSourceRef = { ...spec.dataSource };
  } else if (ref !== undefined && spec.dataSource === undefined && (ref.namespace ?? '') === '') {
    const { namespace: _, ...local } = ref;
    spec.dataSource = local;
  }
}

const storageOf = (list: Readonly<Record<string, string>> | undefined): string | undefined =>
  list?.['storage'];

function validateUpdate(
  e: FieldErrors,
  claim: PersistentVolumeClaim,
  old: PersistentVolumeClaim,
): void {
  validateMetaUpdate(e, claim.metadata, old.metadata, META);
  validateMeta(e, claim.metadata, META);
  validateClaimSpec(e, 'spec', claim.spec);
  const spec = { ...claim.spec };
  const before = { ...old.spec };
  if ((before.volumeName ?? '') === '') copyField(before, spec, 'volumeName');
  if (
    claim.metadata.annotations?.[CLASS_ANNOTATION] !== old.metadata.annotations?.[CLASS_ANNOTATION]
  ) {
    const value = claim.metadata.annotations?.[CLASS_ANNOTATION] ?? '';
    e.invalid(`metadata.annotations[${CLASS_ANNOTATION}]`, value, IMMUTABLE);
  }
  if (claim.status?.phase === 'Bound') {
    const storage = storageOf(before.resources?.requests);
    if (spec.resources?.requests !== undefined && storage !== undefined) {
      spec.resources = { ...spec.resources, requests: { ...spec.resources.requests, storage } };
    }
    copyField(spec, before, 'volumeAttributesClassName');
  }
  if (!sameValue(spec, before)) {
    const diff = jsonDiff(internalClaimSpec(before), internalClaimSpec(spec));
    const detail = `spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n${diff}`;
    e.forbidden('spec', detail);
  }
  validateSize(e, claim, old);
  if (claim.spec?.volumeMode !== old.spec?.volumeMode) {
    e.invalid('volumeMode', claim.spec?.volumeMode ?? new RenderedValue('null'), IMMUTABLE);
  }
  validateAttributes(e, claim, old);
}

function internalClaimSpec(spec: PersistentVolumeClaimSpec): unknown {
  const value = internalValue('PersistentVolumeClaimSpec', { resources: {}, ...spec });
  return value;
}

function validateSize(
  e: FieldErrors,
  claim: PersistentVolumeClaim,
  old: PersistentVolumeClaim,
): void {
  const size = parseQuantity(storageOf(claim.spec?.resources?.requests) ?? '0');
  const before = parseQuantity(storageOf(old.spec?.resources?.requests) ?? '0');
  const actual = parseQuantity(storageOf(old.status?.capacity) ?? '0');
  if (compareQuantities(size, before) < 0 && compareQuantities(size, actual) <= 0) {
    const detail = 'field can not be less than status.capacity';
    e.forbidden('spec.resources.requests.storage', detail);
  }
}

function validateAttributes(
  e: FieldErrors,
  { spec }: PersistentVolumeClaim,
  old: PersistentVolumeClaim,
): void {
  const name = spec?.volumeAttributesClassName;
  if (name === old.spec?.volumeAttributesClassName) return;
  if (old.status?.currentVolumeAttributesClassName === undefined) return;
  const what = name === undefined ? 'nil' : name === '' ? 'empty string' : undefined;
  if (what === undefined) return;
  const detail = `update to ${what} is forbidden when status.currentVolumeAttributesClassName is not nil`;
  e.forbidden('spec.volumeAttributesClassName', detail);
}

export const persistentVolumeClaimRules: ResourceRules<PersistentVolumeClaim> = {
  group: '',
  version: 'v1',
  resource: 'persistentvolumeclaims',
  default(claim) {
    claim.spec ??= {};
    defaultClaimSpec(claim.spec);
    claim.status ??= {};
    claim.status.phase ||= 'Pending';
  },
  prepareForCreate(claim) {
    claim.status = { phase: 'Pending' };
    syncDataSources(claim.spec ?? {});
  },
  validate: (claim) =>
    collect((e) => {
      validateMeta(e, claim.metadata, META);
      validateClaimSpec(e, 'spec', claim.spec);
    }),
  prepareForUpdate(claim, old) {
    copyField(claim, old, 'status');
    syncDataSources(claim.spec ?? {}, old.spec);
  },
  validateUpdate: (claim, old) =>
    collectUpdate(claim, old, META, (e) => validateUpdate(e, claim, old)),
  returnsDeletedObject: true,
  subresources: {
    status: {
      prepareForUpdate(claim, old) {
        copyField(claim, old, 'spec');
      },
      validateUpdate: (claim, old) =>
        collectUpdate(claim, old, META, (e) =>
          validateMetaUpdate(e, claim.metadata, old.metadata, META),
        ),
    },
  },
  table: tableOf(
    'Name,Status,Volume,Capacity,Access Modes,StorageClass,VolumeAttributesClass,Age|VolumeMode',
    ({ metadata, spec, status }, nowMs) => {
      const isBound = (spec?.volumeName ?? '') !== '';
      return [
        metadata.name,
        metadata.deletionTimestamp === undefined ? (status?.phase ?? '') : 'Terminating',
        spec?.volumeName ?? '',
        isBound ? quantityText(storageOf(status?.capacity)) : '',
        isBound ? accessModesText(status?.accessModes) : '',
        metadata.annotations?.[CLASS_ANNOTATION] ?? spec?.storageClassName ?? '',
        spec?.volumeAttributesClassName ?? UNSET,
        age(metadata.creationTimestamp, nowMs),
        spec?.volumeMode ?? UNSET,
      ];
    },
  ),
};
