/** Rules of v1 PersistentVolumes. Source: kubernetes v1.36.3 pkg/apis/core, pkg/registry/core. */
import type { PersistentVolume, PersistentVolumeSpec } from '#base/kube/api/core-v1.gen.ts';
import type { ResourceRules } from '../resource.ts';
import { type FieldErrors, goJson, RenderedValue, sortedMap } from './field-errors.ts';
import { checkDnsSubdomain } from './formats.ts';
import { given } from './given.ts';
import { IMMUTABLE, subdomainName, validateMeta, validateMetaUpdate } from './meta.ts';
import { validateCsiDriverName } from './network-volumes.ts';
import { accessModesText, CLASS_ANNOTATION, quantityText } from './persistent-volume-claim.ts';
import { validateAccessModes, VOLUME_MODES } from './persistent-volume-claim-spec.ts';
import { roundUpResources } from './resource-lists.ts';
import { sameValue } from './same-value.ts';
import { validateNodeSelector } from './scheduling-rules.ts';
import { collect, collectUpdate, copyField } from './strategies.ts';
import { age, tableOf, UNSET } from './tables.ts';

const META = { namespaced: false, name: subdomainName, coreFinalizers: true };
const POLICIES = ['Delete', 'Recycle', 'Retain'];
/** In upstream's order: the first one given is checked, the others are too many. */
const SOURCES = [
  'hostPath',
  'gcePersistentDisk',
  'awsElasticBlockStore',
  'glusterfs',
  'flocker',
  'nfs',
  'rbd',
  'quobyte',
  'cephfs',
  'iscsi',
  'cinder',
  'fc',
  'flexVolume',
  'azureFile',
  'vsphereVolume',
  'photonPersistentDisk',
  'portworxVolume',
  'azureDisk',
  'scaleIO',
  'local',
  'storageos',
  'csi',
] as const satisfies readonly (keyof PersistentVolumeSpec)[];

function validateSpec(e: FieldErrors, spec: PersistentVolumeSpec): void {
  validateAccessModes(e, 'spec.accessModes', spec.accessModes ?? [], { required: '' });
  const capacity = spec.capacity ?? {};
  if (Object.keys(capacity).length === 0) e.required('spec.capacity');
  if (capacity['storage'] === undefined || Object.keys(capacity).length > 1) {
    const shown = spec.capacity === undefined ? 'null' : goJson(sortedMap(capacity));
    e.notSupported('spec.capacity', new RenderedValue(shown), ['storage']);
  }
  for (const [name, text] of Object.entries(sortedMap(capacity))) {
    if (!/^[-0]/.test(quantityText(text))) continue;
    e.invalid(`spec.capacity[${name}]`, quantityText(text), 'must be greater than zero');
  }
  const policy = spec.persistentVolumeReclaimPolicy ?? '';
  if (policy !== '' && !POLICIES.includes(policy)) {
    e.notSupported('spec.persistentVolumeReclaimPolicy', policy, POLICIES);
  }
  const affinity = spec.nodeAffinity;
  if (affinity !== undefined) {
    if (affinity.required === undefined) {
      e.required('spec.nodeAffinity.required', 'must specify required node constraints');
    } else validateNodeSelector(e, 'spec.nodeAffinity.required', affinity.required);
  }
  validateSource(e, spec);
  const className = spec.storageClassName ?? '';
  if (className !== '') {
    e.invalidEach('spec.storageClassName', className, checkDnsSubdomain(className));
  }
  const mode = spec.volumeMode;
  if (mode !== undefined && !VOLUME_MODES.includes(mode)) {
    e.notSupported('spec.volumeMode', mode, VOLUME_MODES);
  }
  validateAttributes(e, spec);
}

function validateSource(e: FieldErrors, spec: PersistentVolumeSpec): void {
  const [first, ...more] = SOURCES.filter((source) => spec[source] !== undefined);
  if (first === undefined) e.required('spec', 'must specify a volume type');
  if (first === 'hostPath') validateHostPath(e, given(spec.hostPath ?? { path: '' }).path);
  if (first === 'nfs') {
    const { server = '', path = '' } = given(spec.nfs ?? { server: '', path: '' });
    if (server === '') e.required('spec.nfs.server');
    if (path === '') e.required('spec.nfs.path');
    else if (!path.startsWith('/')) e.invalid('spec.nfs.path', path, 'must be an absolute path');
  }
  if (first === 'local') validateLocal(e, spec);
  if (first === 'csi') {
    const { driver = '', volumeHandle = '' } = given(spec.csi ?? { driver: '', volumeHandle: '' });
    validateCsiDriverName(e, 'spec.csi.driver', driver);
    if (volumeHandle === '') e.required('spec.csi.volumeHandle');
  }
  for (const source of more) {
    const field = source === 'cephfs' ? 'cephFS' : source;
    if (source !== 'flexVolume') {
      e.forbidden(`spec.${field}`, 'may not specify more than 1 volume type');
    }
  }
  const isRoot = /^\/+$/.test(spec.hostPath?.path ?? '');
  if (isRoot && spec.persistentVolumeReclaimPolicy === 'Recycle') {
    const detail = "may not be 'recycle' for a hostPath mount of '/'";
    e.forbidden('spec.persistentVolumeReclaimPolicy', detail);
  }
}

function validateHostPath(e: FieldErrors, path = ''): void {
  if (path === '') e.required('spec.hostPath.path');
  else if (path.split('/').includes('..')) {
    e.invalid('spec.hostPath.path', path, "must not contain '..'");
  }
}

function validateLocal(e: FieldErrors, spec: PersistentVolumeSpec): void {
  const path = spec.local?.path ?? '';
  if (path === '') e.required('spec.local.path');
  else if (path.split('/').includes('..')) {
    e.invalid('spec.local.path', path, "must not contain '..'");
  }
  if (spec.nodeAffinity === undefined) {
    e.required('spec.nodeAffinity', 'Local volume requires node affinity');
  }
}

function validateAttributes(e: FieldErrors, spec: PersistentVolumeSpec): void {
  const field = 'spec.volumeAttributesClassName';
  const name = spec.volumeAttributesClassName;
  if (name === undefined) return;
  if (name === '') e.required(field, 'an empty string is disallowed');
  else e.invalidEach(field, name, checkDnsSubdomain(name));
  if (spec.csi === undefined) {
    e.required('spec.csi', 'has to be specified when using volumeAttributesClassName');
  }
}

function validateUpdate(e: FieldErrors, volume: PersistentVolume, old: PersistentVolume): void {
  validateMeta(e, volume.metadata, META);
  const spec = volume.spec ?? {};
  const before = old.spec ?? {};
  validateSpec(e, spec);
  const changed = SOURCES.filter((source) => !sameValue(spec[source], before[source]));
  const isOnlySecret =
    changed.join('') === 'csi' &&
    before.csi?.controllerExpandSecretRef === undefined &&
    sameValue({ ...spec.csi, controllerExpandSecretRef: undefined }, before.csi);
  if (changed.length > 0 && !isOnlySecret) {
    const detail = 'spec.persistentvolumesource is immutable after creation';
    e.forbidden('spec.persistentvolumesource', detail);
  }
  if (spec.volumeMode !== before.volumeMode) {
    e.invalid('volumeMode', spec.volumeMode ?? new RenderedValue('null'), IMMUTABLE);
  }
  if (before.nodeAffinity !== undefined && !sameValue(spec.nodeAffinity, before.nodeAffinity)) {
    e.invalid('nodeAffinity', spec.nodeAffinity ?? new RenderedValue('null'), IMMUTABLE);
  }
  if (
    before.volumeAttributesClassName !== undefined &&
    spec.volumeAttributesClassName === undefined
  ) {
    const detail = 'update from non-nil value to nil is forbidden';
    e.forbidden('spec.volumeAttributesClassName', detail);
  }
}

const timeText = (nowMs: number): string => `${new Date(nowMs).toISOString().slice(0, 19)}Z`;

export const persistentVolumeRules: ResourceRules<PersistentVolume> = {
  group: '',
  version: 'v1',
  resource: 'persistentvolumes',
  default(volume) {
    volume.status ??= {};
    volume.status.phase ||= 'Pending';
    volume.spec ??= {};
    volume.spec.persistentVolumeReclaimPolicy ||= 'Retain';
    volume.spec.volumeMode ??= 'Filesystem';
    if (volume.spec.hostPath !== undefined) volume.spec.hostPath.type ??= '';
    roundUpResources(volume.spec.capacity);
  },
  prepareForCreate(volume, { nowMs }) {
    volume.status = { phase: 'Pending', lastPhaseTransitionTime: timeText(nowMs) };
  },
  validate: (volume) =>
    collect((e) => {
      validateMeta(e, volume.metadata, META);
      validateSpec(e, volume.spec ?? {});
    }),
  prepareForUpdate(volume, old) {
    copyField(volume, old, 'status');
  },
  validateUpdate: (volume, old) =>
    collectUpdate(volume, old, META, (e) => validateUpdate(e, volume, old)),
  returnsDeletedObject: true,
  subresources: {
    status: {
      prepareForUpdate(volume, old, { nowMs }) {
        copyField(volume, old, 'spec');
        const { status } = volume;
        if (status === undefined) return;
        const before = old.status?.lastPhaseTransitionTime;
        const time = status.lastPhaseTransitionTime;
        if (status.phase === old.status?.phase) {
          if (time === undefined && before !== undefined) status.lastPhaseTransitionTime = before;
        } else if (time === undefined || time === before) {
          status.lastPhaseTransitionTime = timeText(nowMs);
        }
      },
      validateUpdate: (volume, old) =>
        collectUpdate(volume, old, META, (e) =>
          validateMetaUpdate(e, volume.metadata, old.metadata, META),
        ),
    },
  },
  table: tableOf(
    'Name,Capacity,Access Modes,Reclaim Policy,Status,Claim,StorageClass,VolumeAttributesClass,' +
      'Reason,Age|VolumeMode',
    ({ metadata, spec, status }, nowMs) => {
      const claim = spec?.claimRef;
      return [
        metadata.name,
        quantityText(spec?.capacity?.['storage']),
        accessModesText(spec?.accessModes),
        spec?.persistentVolumeReclaimPolicy ?? '',
        metadata.deletionTimestamp === undefined ? (status?.phase ?? '') : 'Terminating',
        claim === undefined ? '' : `${claim.namespace ?? ''}/${claim.name ?? ''}`,
        metadata.annotations?.[CLASS_ANNOTATION] ?? spec?.storageClassName ?? '',
        spec?.volumeAttributesClassName ?? UNSET,
        status?.reason ?? '',
        age(metadata.creationTimestamp, nowMs),
        spec?.volumeMode ?? UNSET,
      ];
    },
  ),
};
