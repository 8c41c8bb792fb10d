/** The scale view of kinds that declare none: spec.replicas, status.replicas and spec.selector. */
import type { LabelSelector } from '#base/kube/api/meta-v1.gen.ts';
import type { KubeObject } from '#base/kube/client.ts';
import { compileLabelSelector, compileLabelSet } from '#base/kube/selectors.ts';
import type { ScaleRules } from '../resource.ts';

interface Scalable extends KubeObject {
  spec?: { replicas?: number; selector?: LabelSelector | Record<string, string> };
  status?: { replicas?: number };
}

function isLabelSelector(selector: object): selector is LabelSelector {
  return 'matchLabels' in selector || 'matchExpressions' in selector;
}

export const genericScale: ScaleRules<Scalable> = {
  specReplicas: (object) => object.spec?.replicas ?? 0,
  statusReplicas: (object) => object.status?.replicas ?? 0,
  selector(object) {
    const selector = object.spec?.selector;
    if (selector === undefined) return '';
    const matcher = isLabelSelector(selector)
      ? compileLabelSelector(selector)
      : compileLabelSet(selector);
    return matcher.toString();
  },
  setSpecReplicas(object, replicas) {
    object.spec = { ...object.spec, replicas };
  },
};
