/**
 * The admission chain in upstream's order (reference/kubernetes-api.md section 2.11), as far as
 * this server has the plugins.
 */
import type { Clock } from '#base/clock.ts';
import type { Authorizer } from '../auth/authorizer.ts';
import type { RbacAuthorizer } from '../auth/rbac.ts';
import type { CacheHub } from '../cache/cache-hub.ts';
import type { AdmissionPlugin } from '../registry/admission.ts';
import type { RandomBytes } from '../registry/metadata.ts';
import type { ServedResources } from '../registry/served-resource.ts';
import {
  CertificateApproval,
  CertificateSigning,
  CertificateSubjectRestriction,
} from './certificates.ts';
import { LimitRanger } from './limit-ranger.ts';
import { NamespaceLifecycle } from './namespace-lifecycle.ts';
import { NodeRestriction } from './node-restriction.ts';
import {
  DefaultTolerationSeconds,
  PriorityAdmission,
  RuntimeClassAdmission,
  TaintNodesByCondition,
} from './pod-defaults.ts';
import { PodSecurity } from './pod-security.ts';
import { RbacEscalation } from './rbac-escalation.ts';
import { type ChargeQuota, ResourceQuotaAdmission } from './resource-quota.ts';
import { ServiceAccountAdmission } from './service-account.ts';

export interface AdmissionParts {
  readonly resources: ServedResources;
  readonly hub: CacheHub;
  readonly authorizer: Authorizer;
  readonly rbac: RbacAuthorizer;
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly charge: ChargeQuota;
}

export function admissionPlugins(parts: AdmissionParts): AdmissionPlugin[] {
  const { resources, hub, authorizer, rbac, clock, random } = parts;
  const core = (resource: string) => resources.must('', 'v1', resource);
  const pods = core('pods');
  const runtimeClasses = resources.must('node.k8s.io', 'v1', 'runtimeclasses');
  const priorityClasses = resources.must('scheduling.k8s.io', 'v1', 'priorityclasses');
  const accounts = core('serviceaccounts');
  return [
    new NamespaceLifecycle({ namespaces: core('namespaces'), hub }),
    new LimitRanger({
      ranges: core('limitranges'),
      pods,
      claims: core('persistentvolumeclaims'),
    }),
    new ServiceAccountAdmission({ pods, accounts, hub, clock, random }),
    new NodeRestriction(),
    new TaintNodesByCondition({ nodes: core('nodes') }),
    new PriorityAdmission({ pods, classes: priorityClasses }),
    new DefaultTolerationSeconds({ pods }),
    new RuntimeClassAdmission({ pods, classes: runtimeClasses }),
    new CertificateApproval({ authorizer }),
    new CertificateSigning({ authorizer }),
    new CertificateSubjectRestriction(),
    new RbacEscalation({ authorizer, rbac }),
    new PodSecurity({ namespaces: core('namespaces'), pods, hub }),
    new ResourceQuotaAdmission({ quotas: core('resourcequotas'), charge: parts.charge }),
  ];
}
