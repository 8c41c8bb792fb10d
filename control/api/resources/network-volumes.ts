/**
 * Rules on volumes of storage systems in pods. Most of their drivers left Kubernetes; the fields are
 * still accepted and judged.
 * Source: kubernetes v1.36.3 pkg/apis/core/validation.
 */
import type { Volume } from '#base/kube/api/core-v1.gen.ts';
import { type FieldErrors, sortedMap } from './field-errors.ts';
import { byteLength, checkDnsLabel, checkDnsSubdomain, rangeMessage } from './formats.ts';
import { given } from './given.ts';
import { validateDescendingPath } from './paths.ts';

type Rule = (e: FieldErrors, at: string, volume: Volume) => void;

function required(
  e: FieldErrors,
  at: string,
  fields: Readonly<Record<string, string | undefined>>,
) {
  for (const [field, value] of Object.entries(fields)) {
    if ((value ?? '') === '') e.required(`${at}.${field}`);
  }
}

function partition(e: FieldErrors, at: string, value = 0): void {
  if (value < 0 || value > 255) {
    e.invalid(`${at}.partition`, value, rangeMessage(1, 255));
  }
}

function lun(e: FieldErrors, at: string, value: number): void {
  if (value < 0 || value > 255) e.invalid(`${at}.lun`, value, rangeMessage(0, 255));
}

const INITIATOR: Readonly<Record<string, RegExp>> = {
  iqn: /iqn\.\d{4}-\d{2}\.([a-zA-Z0-9-.]+)(:[^,;*&$|\s]+)$/,
  eui: /^eui.[0-9a-zA-Z]{16}$/,
  naa: /^naa.[0-9a-zA-Z]{32}$/,
};

function initiator(e: FieldErrors, field: string, name: string): void {
  const pattern = INITIATOR[name.slice(0, 3)];
  if (pattern === undefined) {
    e.invalid(field, name, 'must be valid format starting with iqn, eui, or naa');
  } else if (!pattern.test(name)) e.invalid(field, name, 'must be valid format');
}

const iscsi: Rule = (e, at, { iscsi: source, name }) => {
  if (source === undefined) return;
  required(e, at, { targetPortal: source.targetPortal, iqn: source.iqn });
  if ((source.iqn ?? '') !== '') initiator(e, `${at}.iqn`, source.iqn);
  lun(e, at, source.lun ?? 0);
  const needsSecret = source.chapAuthDiscovery === true || source.chapAuthSession === true;
  if (needsSecret && source.secretRef === undefined) e.required(`${at}.secretRef`);
  if (source.initiatorName === undefined) return;
  initiator(e, `${at}.initiatorname`, source.initiatorName);
  if (byteLength(`${name}:${source.targetPortal}`) > 64) {
    e.invalid(
      `${at.slice(0, -'.iscsi'.length)}.name`,
      name,
      'Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.',
    );
  }
};

const fc: Rule = (e, at, { fc: source }) => {
  const targets = source?.targetWWNs ?? [];
  const wwids = source?.wwids ?? [];
  if (targets.length === 0 && wwids.length === 0) {
    e.required(`${at}.targetWWNs`, 'must specify either targetWWNs or wwids, but not both');
  }
  if (targets.length > 0 && wwids.length > 0) {
    const detail = 'targetWWNs and wwids can not be specified simultaneously';
    e.invalid(`${at}.targetWWNs`, targets, detail);
  }
  if (targets.length === 0) return;
  if (source?.lun === undefined) {
    e.required(`${at}.lun`, 'lun is required if targetWWNs is specified');
  } else lun(e, at, source.lun);
};

const HOST_PORTS = 'must be a host:port pair or multiple pairs separated by commas';

const quobyte: Rule = (e, at, { quobyte: source }) => {
  const registry = source?.registry ?? '';
  if (registry === '') e.required(`${at}.registry`, HOST_PORTS);
  else if ((source?.tenant ?? '').length >= 65) {
    e.required(`${at}.tenant`, 'must be a UUID and may not exceed a length of 64 characters');
  } else {
    for (const pair of registry.split(',')) {
      if (!/^([^:[\]]*|\[[^[\]]*\]):[^:]*$/.test(pair))
        e.invalid(`${at}.registry`, registry, HOST_PORTS);
    }
  }
  required(e, at, { volume: source?.volume });
};

const flocker: Rule = (e, at, { flocker: source }) => {
  const name = source?.datasetName ?? '';
  const uuid = source?.datasetUUID ?? '';
  if (name === '' && uuid === '') e.required(at, 'one of datasetName and datasetUUID is required');
  if (name !== '' && uuid !== '') {
    const detail = 'datasetName and datasetUUID can not be specified simultaneously';
    e.invalid(at, 'resource', detail);
  }
  if (name.includes('/')) e.invalid(`${at}.datasetName`, name, "must not contain '/'");
};

const flexVolume: Rule = (e, at, { flexVolume: source }) => {
  required(e, at, { driver: source?.driver });
  for (const key of Object.keys(sortedMap(source?.options))) {
    const namespace = `.${(key.split('/')[0] ?? '').toLowerCase()}`;
    if (namespace.endsWith('.kubernetes.io') || namespace.endsWith('.k8s.io')) {
      const detail = 'kubernetes.io and k8s.io namespaces are reserved';
      e.invalid(`${at}.options[${key}]`, key, detail);
    }
  }
};

const CACHING_MODES = ['None', 'ReadOnly', 'ReadWrite'];
const DISK_KINDS = ['Dedicated', 'Managed', 'Shared'];
const MANAGED_URI =
  '/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}';
const BLOB_URI = 'https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd';

const azureDisk: Rule = (e, at, { azureDisk: source }) => {
  if (source === undefined) return;
  required(e, at, { diskName: source.diskName, diskURI: source.diskURI });
  const { cachingMode, kind, diskURI = '' } = given(source);
  if (cachingMode !== undefined && !CACHING_MODES.includes(cachingMode)) {
    e.notSupported(`${at}.cachingMode`, cachingMode, CACHING_MODES);
  }
  if (kind !== undefined && !DISK_KINDS.includes(kind))
    e.notSupported(`${at}.kind`, kind, DISK_KINDS);
  if (kind === 'Managed' && !diskURI.startsWith('/subscriptions/')) {
    e.notSupported(`${at}.diskURI`, diskURI, [MANAGED_URI]);
  }
  if (kind !== undefined && kind !== 'Managed' && !diskURI.startsWith('https://')) {
    e.notSupported(`${at}.diskURI`, diskURI, [BLOB_URI]);
  }
};

const storageos: Rule = (e, at, { storageos: source }) => {
  const name = source?.volumeName ?? '';
  if (name === '') e.required(`${at}.volumeName`);
  else e.invalidEach(`${at}.volumeName`, name, checkDnsLabel(name));
  const namespace = source?.volumeNamespace ?? '';
  if (namespace !== '') {
    e.invalidEach(`${at}.volumeNamespace`, namespace, checkDnsLabel(namespace));
  }
  if (source?.secretRef !== undefined)
    required(e, `${at}.secretRef`, { name: source.secretRef.name });
};

/** Names of CSI drivers: a domain, of up to 63 characters, in any case. */
export function validateCsiDriverName(e: FieldErrors, field: string, driver = ''): void {
  if (driver === '') return e.required(field);
  if (byteLength(driver) > 63) e.tooLong(field, 63);
  e.invalidEach(field, driver, checkDnsSubdomain(driver.toLowerCase()));
}

const csi: Rule = (e, at, { csi: source }) => {
  validateCsiDriverName(e, `${at}.driver`, source?.driver);
  const secret = source?.nodePublishSecretRef;
  if (secret === undefined) return;
  const name = secret.name ?? '';
  if (name === '') e.required(`${at}.nodePublishSecretRef.name`);
  else e.invalidEach(`${at}.name`, name, checkDnsSubdomain(name));
};

const nfs: Rule = (e, at, { nfs: source }) => {
  required(e, at, { server: source?.server, path: source?.path });
  const path = source?.path ?? '';
  if (!path.startsWith('/')) e.invalid(`${at}.path`, path, 'must be an absolute path');
};

/** By field of the volume; those that are missing live on the node. */
export const networkVolumeRules: Partial<Record<Exclude<keyof Volume, 'name'>, Rule>> = {
  iscsi,
  fc,
  quobyte,
  flocker,
  flexVolume,
  azureDisk,
  storageos,
  csi,
  nfs,
  gitRepo: (e, at, { gitRepo: source }) => {
    required(e, at, { repository: source?.repository });
    validateDescendingPath(e, `${at}.directory`, source?.directory ?? '');
  },
  gcePersistentDisk: (e, at, { gcePersistentDisk: source }) => {
    required(e, at, { pdName: source?.pdName });
    partition(e, at, source?.partition);
  },
  awsElasticBlockStore: (e, at, { awsElasticBlockStore: source }) => {
    required(e, at, { volumeID: source?.volumeID });
    partition(e, at, source?.partition);
  },
  glusterfs: (e, at, { glusterfs: source }) =>
    required(e, at, { endpoints: source?.endpoints, path: source?.path }),
  rbd: (e, at, { rbd: source }) => {
    if ((source?.monitors ?? []).length === 0) e.required(`${at}.monitors`);
    required(e, at, { image: source?.image });
  },
  cinder: (e, at, { cinder: source }) => {
    required(e, at, { volumeID: source?.volumeID });
    if (source?.secretRef !== undefined) {
      required(e, `${at}.secretRef`, { name: source.secretRef.name });
    }
  },
  cephfs: (e, at, { cephfs: source }) => {
    if ((source?.monitors ?? []).length === 0) e.required(`${at}.monitors`);
  },
  azureFile: (e, at, { azureFile: source }) =>
    required(e, at, { secretName: source?.secretName, shareName: source?.shareName }),
  vsphereVolume: (e, at, { vsphereVolume: source }) =>
    required(e, at, { volumePath: source?.volumePath }),
  photonPersistentDisk: (e, at, { photonPersistentDisk: source }) =>
    required(e, at, { pdID: source?.pdID }),
  portworxVolume: (e, at, { portworxVolume: source }) =>
    required(e, at, { volumeID: source?.volumeID }),
  scaleIO: (e, at, { scaleIO: source }) =>
    required(e, at, {
      gateway: source?.gateway,
      system: source?.system,
      volumeName: source?.volumeName,
    }),
};
