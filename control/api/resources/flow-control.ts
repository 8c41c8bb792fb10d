/** Rules of flowcontrol.apiserver.k8s.io/v1 kinds. Source: kubernetes v1.36.3 pkg/apis/flowcontrol. */
import type { FlowSchema, PriorityLevelConfiguration } from '#base/kube/api/flowcontrol-v1.gen.ts';
import type { KubeObject } from '#base/kube/client.ts';
import type { ResourceRules } from '../resource.ts';
import { given } from './given.ts';
import { plainRules } from './plain-kinds.ts';
import { sameValue } from './same-value.ts';
import { age, NONE, tableOf } from './tables.ts';

const GROUP = {
  group: 'flowcontrol.apiserver.k8s.io',
  version: 'v1',
  hasGeneration: true,
} as const;
const PRECEDENCE_MAX = 10_000;
const DEFAULT_PRECEDENCE = 1000;

/** Status updates of these kinds change nothing else, not even metadata. */
function keepMeta<T extends KubeObject & { spec?: unknown }>(
  rules: ResourceRules<T>,
): typeof rules {
  const status = rules.subresources?.['status'] ?? {};
  return {
    ...rules,
    subresources: {
      status: {
        ...status,
        prepareForUpdate(object, old, context) {
          status.prepareForUpdate?.(object, old, context);
          const { managedFields } = object.metadata;
          object.metadata = { ...old.metadata };
          if (managedFields !== undefined) object.metadata.managedFields = managedFields;
        },
      },
    },
  };
}

export const flowSchemaRules = keepMeta(
  plainRules<FlowSchema>({
    ...GROUP,
    resource: 'flowschemas',
    default(schema) {
      schema.spec ??= { priorityLevelConfiguration: { name: '' } };
      if ((schema.spec.matchingPrecedence ?? 0) === 0) {
        schema.spec.matchingPrecedence = DEFAULT_PRECEDENCE;
      }
    },
    check(e, { spec }) {
      const precedence = spec?.matchingPrecedence ?? 0;
      if (precedence <= 0) {
        const detail = 'must be a positive value';
        e.invalid('spec.matchingPrecedence', precedence, detail);
      }
      if (precedence > PRECEDENCE_MAX) {
        const detail = `must not be greater than ${PRECEDENCE_MAX}`;
        e.invalid('spec.matchingPrecedence', precedence, detail);
      }
      if ((given(spec?.priorityLevelConfiguration ?? { name: '' }).name ?? '') === '') {
        const detail = 'must reference a priority level';
        e.required('spec.priorityLevelConfiguration.name', detail);
      }
    },
    bumpsGeneration: (schema, old) => !sameValue(schema.spec, old.spec),
    table: tableOf(
      'Name,PriorityLevel,MatchingPrecedence,DistinguisherMethod,Age,MissingPL',
      ({ metadata, spec, status }, nowMs) => [
        metadata.name,
        spec?.priorityLevelConfiguration.name ?? '',
        spec?.matchingPrecedence ?? 0,
        spec?.distinguisherMethod?.type ?? NONE,
        age(metadata.creationTimestamp, nowMs),
        (status?.conditions ?? []).find(({ type }) => type === 'Dangling')?.status ?? '?',
      ],
    ),
  }),
);

export const priorityLevelRules = keepMeta(
  plainRules<PriorityLevelConfiguration>({
    ...GROUP,
    resource: 'prioritylevelconfigurations',
    default({ spec }) {
      if (spec?.exempt !== undefined) {
        spec.exempt.nominalConcurrencyShares ??= 0;
        spec.exempt.lendablePercent ??= 0;
      }
      if (spec?.limited === undefined) return;
      spec.limited.nominalConcurrencyShares ??= 30;
      spec.limited.lendablePercent ??= 0;
      const queuing = spec.limited.limitResponse?.queuing;
      if (queuing === undefined) return;
      queuing.handSize ||= 8;
      queuing.queues ||= 64;
      queuing.queueLengthLimit ||= 50;
    },
    check(e, { spec }) {
      const { type, limited, exempt } = spec ?? { type: '' };
      if (type === 'Limited') {
        if (limited === undefined)
          e.required('spec.limited', 'must not be empty when type is Limited');
        if (exempt !== undefined) {
          e.forbidden('spec.exempt', 'must be nil if the type is Limited');
        }
      } else if (type === 'Exempt') {
        if (limited !== undefined) {
          e.forbidden('spec.limited', 'must be nil if the type is not Limited');
        }
      } else e.notSupported('spec.type', type, ['Exempt', 'Limited']);
    },
    bumpsGeneration: (level, old) => !sameValue(level.spec, old.spec),
    table: tableOf(
      'Name,Type,NominalConcurrencyShares,Queues,HandSize,QueueLengthLimit,Age',
      ({ metadata, spec }, nowMs) => {
        const queuing = spec?.limited?.limitResponse?.queuing;
        return [
          metadata.name,
          spec?.type ?? '',
          spec?.limited?.nominalConcurrencyShares ?? NONE,
          queuing?.queues ?? NONE,
          queuing?.handSize ?? NONE,
          queuing?.queueLengthLimit ?? NONE,
          age(metadata.creationTimestamp, nowMs),
        ];
      },
    ),
  }),
);
