/** Rules of coordination.k8s.io/v1 Leases. Source: kubernetes v1.36.3 pkg/apis/coordination. */
import type { Lease } from '#base/kube/api/coordination-v1.gen.ts';
import type { ResourceRules } from '../resource.ts';
import type { FieldErrors } from './field-errors.ts';
import { checkQualifiedName } from './formats.ts';
import { subdomainName, validateMeta, validateMetaUpdate } from './meta.ts';
import { collect, collectUpdate } from './strategies.ts';
import { age, tableOf } from './tables.ts';

const META = { namespaced: true, name: subdomainName };

function validateSpec(e: FieldErrors, { spec }: Lease): void {
  const duration = spec?.leaseDurationSeconds;
  if (duration !== undefined && duration <= 0) {
    e.invalid('spec.leaseDurationSeconds', duration, 'must be greater than 0');
  }
  const transitions = spec?.leaseTransitions;
  if (transitions !== undefined && transitions < 0) {
    e.invalid('spec.leaseTransitions', transitions, 'must be greater than or equal to 0');
  }
  const strategy = spec?.strategy;
  if (strategy?.includes('/') === true) {
    e.invalidEach('spec.strategy.strategy', strategy, checkQualifiedName(strategy));
  } else if (strategy !== undefined && strategy !== 'OldestEmulationVersion') {
    e.notSupported('spec.strategy.strategy', strategy, ['OldestEmulationVersion']);
  }
  if ((spec?.preferredHolder ?? '') !== '' && (strategy ?? '') === '') {
    e.forbidden('spec.preferredHolder', 'may only be specified if `strategy` is defined');
  }
}

/** Fields of coordinated leader election, which is off by default and so is not stored. */
function dropElection(lease: Lease): void {
  delete lease.spec?.strategy;
  delete lease.spec?.preferredHolder;
}

export const leaseRules: ResourceRules<Lease> = {
  group: 'coordination.k8s.io',
  version: 'v1',
  resource: 'leases',
  default(lease) {
    lease.spec ??= {};
  },
  prepareForCreate: dropElection,
  validate: (lease) =>
    collect((e) => {
      validateMeta(e, lease.metadata, META);
      validateSpec(e, lease);
    }),
  prepareForUpdate: dropElection,
  validateUpdate: (lease, old) =>
    collectUpdate(lease, old, META, (e) => {
      validateMetaUpdate(e, lease.metadata, old.metadata, {});
      validateSpec(e, lease);
    }),
  allowCreateOnUpdate: true,
  allowUnconditionalUpdate: false,
  table: tableOf('Name,Holder,Age', ({ metadata, spec }, nowMs) => [
    metadata.name,
    spec?.holderIdentity ?? '',
    age(metadata.creationTimestamp, nowMs),
  ]),
};
