/**
 * What the strategies of all workloads (Deployments, ReplicaSets, StatefulSets, DaemonSets,
 * ReplicationControllers, CronJobs) share: people write the spec, controllers the status, each through
 * an endpoint that leaves the other alone; the generation counts changes of the spec; names become
 * names of pods. Source: kubernetes v1.36.3 pkg/registry/apps and pkg/registry/batch, strategy.go.
 */
import type { LabelSelector } from '#base/kube/api/meta-v1.gen.ts';
import type { KubeObject } from '#base/kube/client.ts';
import type { ResourceRules, ScaleRules } from '../resource.ts';
import type { FieldErrors } from './field-errors.ts';
import {
  IMMUTABLE,
  type MetaRules,
  selectorValue,
  validateMeta,
  validateMetaUpdate,
} from './meta.ts';
import { sameValue } from './same-value.ts';
import { collect, collectUpdate, copyField } from './strategies.ts';
import { selectorText } from './tables.ts';
import { podNameWarnings } from './workloads.ts';

type Workload = KubeObject & { spec?: object; status?: object };

/** Checks of one kind, in the order in which upstream reports. */
interface Checks<T> {
  readonly meta: MetaRules;
  /** The status that new objects have. */
  readonly newStatus: T extends { status?: infer S } ? () => S & object : never;
  /** What stands behind the metadata. */
  validate(e: FieldErrors, object: T): void;
  /** Behind the metadata's rules for updates. */
  validateUpdate(e: FieldErrors, object: T, old: T): void;
  /** Behind the metadata's rules for updates. */
  validateStatusUpdate(e: FieldErrors, object: T, old: T): void;
}

type Shared =
  | 'hasGeneration'
  | 'prepareForCreate'
  | 'validate'
  | 'prepareForUpdate'
  | 'validateUpdate'
  | 'warningsOnCreate'
  | 'bumpsGeneration';

export type WorkloadStrategy<T extends KubeObject> = Required<Pick<ResourceRules<T>, Shared>> & {
  readonly subresources: {
    readonly status: Required<Pick<ResourceRules<T>, 'prepareForUpdate' | 'validateUpdate'>>;
  };
};

export function workloadStrategy<T extends Workload>(checks: Checks<T>): WorkloadStrategy<T> {
  const { meta, newStatus } = checks;
  return {
    hasGeneration: true,
    prepareForCreate(object) {
      object.status = newStatus();
    },
    validate: (object) =>
      collect((e) => {
        validateMeta(e, object.metadata, meta);
        checks.validate(e, object);
      }),
    prepareForUpdate(object, old) {
      copyField(object, old, 'status');
    },
    validateUpdate: (object, old) =>
      collectUpdate(object, old, meta, (e) => {
        validateMetaUpdate(e, object.metadata, old.metadata, meta);
        checks.validateUpdate(e, object, old);
      }),
    warningsOnCreate: ({ metadata }) => podNameWarnings(metadata.name),
    bumpsGeneration: (object, old) => !sameValue(object.spec, old.spec),
    subresources: {
      status: {
        prepareForUpdate(object, old) {
          copyField(object, old, 'spec');
        },
        validateUpdate: (object, old) =>
          collectUpdate(object, old, meta, (e) => {
            validateMetaUpdate(e, object.metadata, old.metadata, meta);
            checks.validateStatusUpdate(e, object, old);
          }),
      },
    },
  };
}

interface Selecting {
  readonly selector: LabelSelector;
}

export function validateSameSelector(e: FieldErrors, spec: Selecting, old: Selecting): void {
  if (sameValue(spec.selector, old.selector)) return;
  e.invalid('spec.selector', selectorValue(spec.selector), IMMUTABLE);
}

/** /scale of kinds that count replicas and have a label selector. */
export function replicaScale<
  T extends KubeObject & {
    spec: Selecting & { replicas?: number | undefined };
    status?: { replicas?: number | undefined } | undefined;
  },
>(): ScaleRules<T> {
  return {
    specReplicas: ({ spec }) => spec.replicas ?? 0,
    statusReplicas: ({ status }) => status?.replicas ?? 0,
    selector: ({ spec }) => selectorText(spec.selector),
    setSpecReplicas({ spec }, replicas) {
      spec.replicas = replicas;
    },
  };
}
