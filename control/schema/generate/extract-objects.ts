/**
 * Upstream's recorded objects, one filled object of a kind as JSON and protobuf: the codec tests'
 * yardstick. A subset is committed, so that the tests always run.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Module } from './upstream.ts';

/** Every form of field at least once: the rest is checked where the module cache is present. */
const KINDS = [
  'admissionregistration.k8s.io.v1.ValidatingAdmissionPolicy',
  'apps.v1.ControllerRevision',
  'apps.v1.Deployment',
  'apps.v1.StatefulSet',
  'authentication.k8s.io.v1.TokenReview',
  'autoscaling.v1.Scale',
  'autoscaling.v2.HorizontalPodAutoscaler',
  'batch.v1.CronJob',
  'certificates.k8s.io.v1.CertificateSigningRequest',
  'coordination.k8s.io.v1.Lease',
  'core.v1.ConfigMap',
  'core.v1.Event',
  'core.v1.Namespace',
  'core.v1.Node',
  'core.v1.PersistentVolume',
  'core.v1.Pod',
  'core.v1.Secret',
  'core.v1.Service',
  'discovery.k8s.io.v1.EndpointSlice',
  'networking.k8s.io.v1.Ingress',
  'policy.v1.Eviction',
  'rbac.authorization.k8s.io.v1.ClusterRole',
  'resource.k8s.io.v1.ResourceSlice',
];

export interface RecordedObject {
  /** Group ('core' for the legacy one), version and kind: the file's name upstream. */
  readonly name: string;
  readonly json: unknown;
  /** Base64. */
  readonly protobuf: string;
}

export function readRecorded(folder: string, name: string): RecordedObject {
  return {
    name,
    json: JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8')),
    protobuf: readFileSync(join(folder, `${name}.pb`)).toString('base64'),
  };
}

export function writeObjects(api: Module, path: string): void {
  const folder = join(api.folder, 'testdata/HEAD');
  const source = `${api.name} ${api.version} ${api.sum}`;
  const objects = KINDS.map((name) => readRecorded(folder, name));
  writeFileSync(path, gzipSync(JSON.stringify({ source, objects }), { level: 9 }));
}
