/**
 * Defaults of pods and pod templates, filled into the object in place. Templates get less than pods:
 * requests from limits, service links and host ports are set on pods alone, so that old templates
 * keep their meaning. Called by every kind that holds a PodSpec.
 * Source: kubernetes v1.36.3 pkg/apis/core/v1/defaults.go.
 */
import type {
  Container,
  EphemeralContainer,
  HTTPGetAction,
  ObjectFieldSelector,
  PersistentVolumeClaimSpec,
  Pod,
  PodSpec,
  PodTemplateSpec,
  Probe,
  ResourceRequirements,
  Volume,
} from '#base/kube/api/core-v1.gen.ts';
import { defaultPullPolicy } from './image-name.ts';
import { defaultPodLevelResources } from './pod-resources.ts';
import { roundUpResources } from './resource-lists.ts';

const VOLUME_MODE_BITS = 0o644;
const TOKEN_SECONDS = 3600;

export function defaultPod(pod: Pod): void {
  pod.spec ??= { containers: [] };
  const spec = pod.spec;
  for (const container of [...(spec.containers ?? []), ...(spec.initContainers ?? [])]) {
    defaultRequestsFromLimits(container.resources);
  }
  defaultPodLevelResources(spec);
  spec.enableServiceLinks ??= true;
  if (spec.hostNetwork === true) defaultHostPorts(spec);
  defaultPodSpec(spec);
}

/** The template of a workload, or of a PodTemplate. */
export function defaultPodTemplateSpec(template: PodTemplateSpec): void {
  template.metadata ??= {} as PodTemplateSpec['metadata']; // Templates may lack all metadata.
  template.spec ??= { containers: [] };
  defaultPodSpec(template.spec);
}

function defaultPodSpec(spec: PodSpec): void {
  // One name in two spellings; the new one wins.
  const account = spec.serviceAccountName || spec.serviceAccount;
  if (account !== undefined) {
    spec.serviceAccountName = account;
    spec.serviceAccount = account;
  }
  spec.dnsPolicy ||= 'ClusterFirst';
  spec.restartPolicy ||= 'Always';
  spec.securityContext ??= {};
  spec.terminationGracePeriodSeconds ??= 30;
  spec.schedulerName ||= 'default-scheduler';
  for (const volume of spec.volumes ?? []) defaultVolume(volume);
  for (const container of spec.initContainers ?? []) defaultContainer(container);
  for (const container of spec.containers ?? []) defaultContainer(container);
  for (const container of spec.ephemeralContainers ?? []) defaultContainer(container);
  roundUpResources(spec.overhead);
  roundUpResources(spec.resources?.limits);
  roundUpResources(spec.resources?.requests);
}

function defaultRequestsFromLimits(resources: ResourceRequirements | undefined): void {
  if (resources?.limits === undefined) return;
  resources.requests = { ...resources.limits, ...resources.requests };
}

function defaultHostPorts(spec: PodSpec): void {
  for (const container of [...(spec.containers ?? []), ...(spec.initContainers ?? [])]) {
    for (const port of container.ports ?? []) port.hostPort ||= port.containerPort;
  }
}

function defaultContainer(container: Container | EphemeralContainer): void {
  container.imagePullPolicy ||= defaultPullPolicy(container.image);
  container.terminationMessagePath ||= '/dev/termination-log';
  container.terminationMessagePolicy ||= 'File';
  container.resources ??= {};
  for (const port of container.ports ?? []) port.protocol ||= 'TCP';
  for (const variable of container.env ?? []) {
    defaultFieldRef(variable.valueFrom?.fieldRef);
    if (variable.valueFrom?.fileKeyRef !== undefined) {
      variable.valueFrom.fileKeyRef.optional ??= false;
    }
  }
  roundUpResources(container.resources.limits);
  roundUpResources(container.resources.requests);
  for (const probe of [container.livenessProbe, container.readinessProbe, container.startupProbe]) {
    if (probe !== undefined) defaultProbe(probe);
  }
  defaultHttpGet(container.lifecycle?.postStart?.httpGet);
  defaultHttpGet(container.lifecycle?.preStop?.httpGet);
}

function defaultProbe(probe: Probe): void {
  probe.timeoutSeconds ||= 1;
  probe.periodSeconds ||= 10;
  probe.successThreshold ||= 1;
  probe.failureThreshold ||= 3;
  defaultHttpGet(probe.httpGet);
  if (probe.grpc !== undefined) probe.grpc.service ??= '';
}

function defaultHttpGet(action: HTTPGetAction | undefined): void {
  if (action === undefined) return;
  action.path ||= '/';
  action.scheme ||= 'HTTP';
}

function defaultFieldRef(ref: ObjectFieldSelector | undefined): void {
  if (ref !== undefined) ref.apiVersion ||= 'v1';
}

function defaultVolume(volume: Volume): void {
  const hasSource = Object.entries(volume).some(
    ([key, source]) => key !== 'name' && source !== undefined && source !== null,
  );
  if (!hasSource) volume.emptyDir = {};
  if (volume.image !== undefined) {
    volume.image.pullPolicy ||= defaultPullPolicy(volume.image.reference);
  }
  if (volume.hostPath !== undefined) volume.hostPath.type ??= '';
  if (volume.secret !== undefined) volume.secret.defaultMode ??= VOLUME_MODE_BITS;
  if (volume.configMap !== undefined) volume.configMap.defaultMode ??= VOLUME_MODE_BITS;
  if (volume.downwardAPI !== undefined) {
    volume.downwardAPI.defaultMode ??= VOLUME_MODE_BITS;
    for (const item of volume.downwardAPI.items ?? []) defaultFieldRef(item.fieldRef);
  }
  if (volume.projected !== undefined) {
    volume.projected.defaultMode ??= VOLUME_MODE_BITS;
    for (const source of volume.projected.sources ?? []) {
      for (const item of source.downwardAPI?.items ?? []) defaultFieldRef(item.fieldRef);
      if (source.serviceAccountToken !== undefined) {
        source.serviceAccountToken.expirationSeconds ??= TOKEN_SECONDS;
      }
    }
  }
  if (volume.ephemeral?.volumeClaimTemplate !== undefined) {
    defaultClaimSpec(volume.ephemeral.volumeClaimTemplate.spec);
  }
  defaultNetworkVolume(volume);
}

/** Volumes of storage systems, whose own drivers are gone from Kubernetes but not from its API. */
function defaultNetworkVolume(volume: Volume): void {
  if (volume.iscsi !== undefined) volume.iscsi.iscsiInterface ||= 'default';
  if (volume.rbd !== undefined) {
    volume.rbd.pool ||= 'rbd';
    volume.rbd.user ||= 'admin';
    volume.rbd.keyring ||= '/etc/ceph/keyring';
  }
  if (volume.azureDisk !== undefined) {
    volume.azureDisk.cachingMode ??= 'ReadWrite';
    volume.azureDisk.fsType ??= 'ext4';
    volume.azureDisk.readOnly ??= false;
    volume.azureDisk.kind ??= 'Shared';
  }
  if (volume.scaleIO !== undefined) {
    volume.scaleIO.storageMode ||= 'ThinProvisioned';
    volume.scaleIO.fsType ||= 'xfs';
  }
}

/** Also the spec of a PersistentVolumeClaim itself. */
export function defaultClaimSpec(spec: PersistentVolumeClaimSpec): void {
  spec.volumeMode ??= 'Filesystem';
  roundUpResources(spec.resources?.limits);
  roundUpResources(spec.resources?.requests);
}
