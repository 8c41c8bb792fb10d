/** Rules of v1 Namespaces. Source: kubernetes v1.36.3 pkg/registry/core/namespace. */
import type { Namespace } from '#base/kube/api/core-v1.gen.ts';
import type { ResourceRules } from '../resource.ts';
import type { FieldErrors } from './field-errors.ts';
import { checkQualifiedName } from './formats.ts';
import { labelName, validateCoreFinalizer, validateMeta, validateMetaUpdate } from './meta.ts';
import { collect, collectUpdate, copyField } from './strategies.ts';
import { age, tableOf } from './tables.ts';

const CLUSTER = { namespaced: false };
const NAME_LABEL = 'kubernetes.io/metadata.name';

function addNameLabel(namespace: Namespace): void {
  const { metadata } = namespace;
  if ((metadata.name ?? '') === '') return; // Still to be generated; canonicalize comes back here.
  metadata.labels = { ...metadata.labels, [NAME_LABEL]: metadata.name };
}

function validateFinalizer(e: FieldErrors, field: string, finalizer: string): void {
  e.invalidEach(field, finalizer, checkQualifiedName(finalizer));
  validateCoreFinalizer(e, field, finalizer);
}

function validate(e: FieldErrors, namespace: Namespace): void {
  validateMeta(e, namespace.metadata, { ...CLUSTER, name: labelName, coreFinalizers: true });
  for (const finalizer of namespace.spec?.finalizers ?? []) {
    validateFinalizer(e, 'spec.finalizers', finalizer);
  }
}

function validateStatusUpdate(e: FieldErrors, namespace: Namespace, old: Namespace): void {
  validateMetaUpdate(e, namespace.metadata, old.metadata, { coreFinalizers: true });
  const phase = namespace.status?.phase ?? '';
  const isDeleting = namespace.metadata.deletionTimestamp !== undefined;
  const needed = isDeleting ? 'Terminating' : 'Active';
  if (phase === needed) return;
  const state = isDeleting ? 'not empty' : 'empty';
  e.invalid('status.Phase', phase, `may only be '${needed}' if \`deletionTimestamp\` is ${state}`);
}

export const namespaceRules: ResourceRules<Namespace> = {
  group: '',
  version: 'v1',
  resource: 'namespaces',
  default(namespace) {
    addNameLabel(namespace);
    namespace.spec ??= {};
    namespace.status ??= {};
    namespace.status.phase ||= 'Active';
  },
  prepareForCreate(namespace) {
    namespace.status = { phase: 'Active' };
    const finalizers = namespace.spec.finalizers ?? [];
    if (!finalizers.includes('kubernetes')) {
      namespace.spec.finalizers = [...finalizers, 'kubernetes'];
    }
  },
  validate: (namespace) => collect((e) => validate(e, namespace)),
  canonicalize: addNameLabel,
  prepareForUpdate(namespace, old) {
    copyField(namespace.spec, old.spec, 'finalizers');
    copyField(namespace, old, 'status');
  },
  validateUpdate: (namespace, old) =>
    collectUpdate(namespace, old, CLUSTER, (e) => {
      validate(e, namespace);
      validateMetaUpdate(e, namespace.metadata, old.metadata, { coreFinalizers: true });
    }),
  fieldLabels: ['status.phase', 'name'],
  selectableFields: ({ metadata, status }) => ({
    'status.phase': status?.phase ?? '',
    name: metadata.name,
  }),
  subresources: {
    status: {
      prepareForUpdate(namespace, old) {
        copyField(namespace, old, 'spec');
      },
      validateUpdate: (namespace, old) =>
        collectUpdate(namespace, old, CLUSTER, (e) => validateStatusUpdate(e, namespace, old)),
    },
    finalize: {
      prepareForUpdate(namespace, old) {
        copyField(namespace, old, 'status');
      },
      validateUpdate: (namespace, old) =>
        collectUpdate(namespace, old, CLUSTER, (e) => {
          validateMetaUpdate(e, namespace.metadata, old.metadata, { coreFinalizers: true });
          for (const [i, finalizer] of (namespace.spec?.finalizers ?? []).entries()) {
            validateFinalizer(e, `spec.finalizers[${i}]`, finalizer);
          }
        }),
    },
  },
  table: tableOf('Name,Status,Age', ({ metadata, status }, nowMs) => [
    metadata.name,
    status?.phase ?? '',
    age(metadata.creationTimestamp, nowMs),
  ]),
};
