/** Rules of storage.k8s.io/v1 kinds. Source: kubernetes v1.36.3 pkg/apis/storage, pkg/registry/storage. */
import type {
  CSIDriver,
  CSINode,
  CSIStorageCapacity,
  StorageClass,
  VolumeAttachment,
  VolumeAttributesClass,
} from '#base/kube/api/storage-v1.gen.ts';
import { FieldErrors, RenderedValue, sortedMap } from './field-errors.ts';
import { checkQualifiedName } from './formats.ts';
import { given } from './given.ts';
import { IMMUTABLE, validateLabelSelector } from './meta.ts';
import { validateCsiDriverName } from './network-volumes.ts';
import { plainRules } from './plain-kinds.ts';
import { sameValue } from './same-value.ts';
import { resetMetaForStatus } from './strategies.ts';
import { age, createdTable, NONE, tableOf, UNSET } from './tables.ts';

const GROUP = { group: 'storage.k8s.io', version: 'v1' } as const;
const DEFAULT_CLASSES = [
  'storageclass.kubernetes.io/is-default-class',
  'storageclass.beta.kubernetes.io/is-default-class',
];
const PARAMETERS_MAX = 512;
const PARAMETERS_BYTES_MAX = 256 * 1024;

function immutable(e: FieldErrors, field: string, value: unknown, old: unknown): void {
  if (sameValue(value, old)) return;
  e.invalid(field, value ?? new RenderedValue('null'), IMMUTABLE);
}

function validateParameters(
  e: FieldErrors,
  parameters: Readonly<Record<string, string>>,
  isRequired: boolean,
): void {
  const entries = Object.entries(parameters);
  if (entries.length > PARAMETERS_MAX) return e.tooLong('parameters', PARAMETERS_MAX);
  if (parameters[''] !== undefined) e.invalid('parameters', '', 'field can not be empty.');
  const bytes = entries.reduce((sum, [key, value]) => sum + key.length + value.length, 0);
  if (bytes > PARAMETERS_BYTES_MAX) e.tooLong('parameters', PARAMETERS_BYTES_MAX);
  if (isRequired && entries.length === 0) {
    e.required('parameters', 'must contain at least one key/value pair');
  }
}

function validateClass(e: FieldErrors, own: StorageClass, old: StorageClass | undefined): void {
  if (old !== undefined) {
    const shown = own.parameters && sortedMap(own.parameters);
    if (!sameValue(own.parameters ?? {}, old.parameters ?? {})) {
      e.invalid('parameters', shown ?? new RenderedValue('null'), IMMUTABLE);
    }
    immutable(e, 'provisioner', own.provisioner, old.provisioner);
    immutable(e, 'reclaimPolicy', own.reclaimPolicy, old.reclaimPolicy);
    immutable(e, 'volumeBindingMode', own.volumeBindingMode, old.volumeBindingMode);
    return;
  }
  const provisioner = given(own).provisioner ?? '';
  if (provisioner === '') e.required('provisioner');
  else {
    const name = provisioner.toLowerCase();
    e.invalidEach('provisioner', name, checkQualifiedName(name));
  }
  validateParameters(e, own.parameters ?? {}, false);
  const { reclaimPolicy = '', volumeBindingMode = '' } = own;
  if (!['Delete', 'Retain'].includes(reclaimPolicy)) {
    e.notSupported('reclaimPolicy', reclaimPolicy, ['Delete', 'Retain']);
  }
  if (!['Immediate', 'WaitForFirstConsumer'].includes(volumeBindingMode)) {
    e.notSupported('volumeBindingMode', volumeBindingMode, ['Immediate', 'WaitForFirstConsumer']);
  }
}

export const storageClassRules = plainRules<StorageClass>({
  ...GROUP,
  resource: 'storageclasses',
  default(own) {
    own.reclaimPolicy ??= 'Delete';
    own.volumeBindingMode ??= 'Immediate';
  },
  check: validateClass,
  table: tableOf(
    'Name,Provisioner,ReclaimPolicy,VolumeBindingMode,AllowVolumeExpansion,Age',
    (own, nowMs) => {
      const { name, annotations, creationTimestamp } = own.metadata;
      const isDefault = DEFAULT_CLASSES.some((key) => annotations?.[key] === 'true');
      return [
        isDefault ? `${name} (default)` : name,
        own.provisioner,
        own.reclaimPolicy ?? 'Delete',
        own.volumeBindingMode ?? 'Immediate',
        own.allowVolumeExpansion ?? false,
        age(creationTimestamp, nowMs),
      ];
    },
  ),
});

export const csiDriverRules = plainRules<CSIDriver>({
  ...GROUP,
  resource: 'csidrivers',
  allowUnconditionalUpdate: false,
  default(driver) {
    driver.spec ??= {};
    const { spec } = driver;
    spec.attachRequired ??= true;
    spec.podInfoOnMount ??= false;
    spec.storageCapacity ??= false;
    spec.fsGroupPolicy ??= 'ReadWriteOnceWithFSType';
    if ((spec.volumeLifecycleModes ?? []).length === 0) spec.volumeLifecycleModes = ['Persistent'];
    spec.requiresRepublish ??= false;
    spec.seLinuxMount ??= false;
  },
  check(e, { metadata, spec }, old) {
    const name = new FieldErrors();
    validateCsiDriverName(name, 'metadata.name', metadata.name);
    if (old === undefined && e.ok) e.list.push(...name.list);
    for (const mode of spec.volumeLifecycleModes ?? []) {
      if (mode === 'Persistent' || mode === 'Ephemeral') continue;
      e.notSupported('spec.volumeLifecycleModes', mode, ['Persistent', 'Ephemeral']);
    }
    if (old !== undefined) {
      immutable(e, 'spec.attachedRequired', spec.attachRequired, old.spec.attachRequired);
      const modes = spec.volumeLifecycleModes;
      immutable(e, 'spec.volumeLifecycleModes', modes, old.spec.volumeLifecycleModes);
    }
  },
  // Upstream counts from nothing: only updates give one.
  hasGeneration: false,
  table: tableOf(
    'Name,AttachRequired:boolean,PodInfoOnMount:boolean,StorageCapacity:boolean,TokenRequests,' +
      'RequiresRepublish:boolean,Modes,Age',
    ({ metadata, spec }, nowMs) => [
      metadata.name,
      spec.attachRequired ?? true,
      spec.podInfoOnMount ?? false,
      spec.storageCapacity ?? false,
      spec.tokenRequests?.map(({ audience }) => audience).join(',') ?? UNSET,
      spec.requiresRepublish ?? false,
      (spec.volumeLifecycleModes ?? []).join(',') || NONE,
      age(metadata.creationTimestamp, nowMs),
    ],
  ),
});

export const csiNodeRules = plainRules<CSINode>({
  ...GROUP,
  resource: 'csinodes',
  allowUnconditionalUpdate: false,
  default(node) {
    node.spec ??= { drivers: [] };
    node.spec.drivers ??= [];
  },
  check(e, { spec }) {
    const names = new Set<string>();
    for (const [i, driver] of spec.drivers.entries()) {
      const { name = '', nodeID = '' } = given(driver);
      validateCsiDriverName(e, `spec.drivers[${i}].name`, name);
      if (nodeID === '') e.required(`spec.drivers[${i}].nodeID`);
      if (names.has(name)) e.duplicate(`spec.drivers[${i}].name`, name);
      names.add(name);
    }
  },
  table: tableOf('Name,Drivers:integer,Age', ({ metadata, spec }, nowMs) => [
    metadata.name,
    spec.drivers.length,
    age(metadata.creationTimestamp, nowMs),
  ]),
});

export const csiStorageCapacityRules = plainRules<CSIStorageCapacity>({
  ...GROUP,
  resource: 'csistoragecapacities',
  allowUnconditionalUpdate: false,
  check(e, own, old) {
    if (own.nodeTopology !== undefined) validateLabelSelector(e, 'nodeTopology', own.nodeTopology);
    if (old === undefined) return;
    immutable(e, 'nodeTopology', own.nodeTopology, old.nodeTopology);
    immutable(e, 'storageClassName', own.storageClassName, old.storageClassName);
  },
  table: createdTable,
});

const attachmentRules = plainRules<VolumeAttachment>({
  ...GROUP,
  resource: 'volumeattachments',
  allowUnconditionalUpdate: false,
  firstStatus: { attached: false },
  check(e, { spec }, old) {
    const { source = {} } = given(spec);
    const { inlineVolumeSpec, persistentVolumeName: name } = source;
    if (inlineVolumeSpec === undefined && name === undefined) {
      const detail = 'must specify exactly one of inlineVolumeSpec and persistentVolumeName';
      e.required('spec.source', detail);
    } else if (inlineVolumeSpec !== undefined && name !== undefined) {
      const detail = 'must specify exactly one of inlineVolumeSpec and persistentVolumeName';
      e.forbidden('spec.source', detail);
    } else if (name === '')
      e.required('spec.source.persistentVolumeName', 'must specify non empty persistentVolumeName');
    if (old === undefined || sameValue(spec, old.spec)) return;
    e.invalidOmitted('spec', IMMUTABLE);
  },
  table: tableOf(
    'Name,Attacher,PV,Node,Attached:boolean,Age',
    ({ metadata, spec, status }, nowMs) => [
      metadata.name,
      spec.attacher,
      spec.source.persistentVolumeName ?? '',
      spec.nodeName,
      status?.attached ?? false,
      age(metadata.creationTimestamp, nowMs),
    ],
  ),
});

export const volumeAttachmentRules: typeof attachmentRules = {
  ...attachmentRules,
  table: {
    columns: (attachmentRules.table?.columns ?? []).map((column) =>
      column.name === 'Attacher' ? { ...column, format: 'name' } : column,
    ),
    row: (object, nowMs) => attachmentRules.table?.row(object, nowMs) ?? { cells: [] },
  },
  subresources: {
    status: {
      ...attachmentRules.subresources?.['status'],
      prepareForUpdate(attachment, old) {
        attachment.spec = old.spec;
        resetMetaForStatus(attachment.metadata, old.metadata);
      },
    },
  },
};

export const volumeAttributesClassRules = plainRules<VolumeAttributesClass>({
  ...GROUP,
  resource: 'volumeattributesclasses',
  check(e, own, old) {
    if (old === undefined) {
      const { driverName = '', parameters = {} } = given(own);
      validateCsiDriverName(e, 'driverName', driverName);
      validateParameters(e, parameters, true);
      return;
    }
    immutable(e, 'driverName', own.driverName, old.driverName);
    if (!sameValue(own.parameters ?? {}, old.parameters ?? {})) {
      e.invalid('parameters', sortedMap(own.parameters ?? {}), IMMUTABLE);
    }
  },
  table: tableOf('Name,DriverName,Age', ({ metadata, driverName }, nowMs) => [
    metadata.name,
    driverName,
    age(metadata.creationTimestamp, nowMs),
  ]),
});
