/** Rules of v1 Pods: defaults, strategy, validation, selectable fields. */
import type { Pod } from '#base/kube/api/core-v1.gen.ts';
import type { ResourceRules } from '../resource.ts';
import { defaultPod } from './pod-defaults.ts';

export const podRules: ResourceRules<Pod> = {
  group: '',
  version: 'v1',
  resource: 'pods',
  default: defaultPod,
};
