/** Handlers of subresources and virtual resources, by `group/resource/subresource`. */
import {
  localSubjectAccessReview,
  selfSubjectAccessReview,
  selfSubjectReview,
  selfSubjectRulesReview,
  subjectAccessReview,
} from './access-reviews.ts';
import type { Handler } from './call.ts';
import { componentStatuses } from './component-statuses.ts';
import { bindPod, evictPod } from './pod-actions.ts';
import { podAttach, podExec, podLog, podPortForward } from './pod-streams.ts';
import { proxyNode, proxyPod, proxyService } from './proxy.ts';
import { scaleHandler } from './scale.ts';
import { requestToken, reviewToken } from './tokens.ts';

export function specialHandlers(): ReadonlyMap<string, Handler> {
  return new Map<string, Handler>([
    ['/pods/binding', bindPod],
    ['/bindings/', bindPod],
    ['/pods/eviction', evictPod],
    ['/componentstatuses/', componentStatuses],
    ['/pods/log', podLog],
    ['/pods/exec', podExec],
    ['/pods/attach', podAttach],
    ['/pods/portforward', podPortForward],
    ['/pods/proxy', proxyPod],
    ['/services/proxy', proxyService],
    ['/nodes/proxy', proxyNode],
    ['/serviceaccounts/token', requestToken],
    ['authentication.k8s.io/tokenreviews/', reviewToken],
    ['authentication.k8s.io/selfsubjectreviews/', selfSubjectReview],
    ['authorization.k8s.io/subjectaccessreviews/', subjectAccessReview],
    ['authorization.k8s.io/selfsubjectaccessreviews/', selfSubjectAccessReview],
    ['authorization.k8s.io/localsubjectaccessreviews/', localSubjectAccessReview],
    ['authorization.k8s.io/selfsubjectrulesreviews/', selfSubjectRulesReview],
    ['apps/deployments/scale', scaleHandler],
    ['apps/replicasets/scale', scaleHandler],
    ['apps/statefulsets/scale', scaleHandler],
    ['/replicationcontrollers/scale', scaleHandler],
  ]);
}
