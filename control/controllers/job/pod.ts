/**
 * The pod of a Job: tracking finalizer, and for Indexed Jobs the index in name, host name, label,
 * annotation and environment. Pure.
 */
import type { Pod } from '#base/kube/api/core-v1.gen.ts';
import { jobs } from '#base/kube/api/resources.gen.ts';
import type { Draft } from '#base/kube/client.ts';
import { newControllerRef } from '#base/kube/metadata.ts';
import { podFromTemplate } from '../shared/pod-control.ts';
import { failureAnnotations } from './plan.ts';
import { INDEX_ANNOTATION, type JobView, TRACKING_FINALIZER } from './view.ts';

export function draftPod(view: JobView, index: number | undefined): Draft<Pod> {
  const { job } = view;
  const draft = podFromTemplate(job, newControllerRef(jobs, job), job.spec.template);
  const finalizers = [...new Set([...(draft.metadata.finalizers ?? []), TRACKING_FINALIZER])];
  if (index === undefined) return { ...draft, metadata: { ...draft.metadata, finalizers } };
  const text = String(index);
  const env = {
    name: 'JOB_COMPLETION_INDEX',
    valueFrom: { fieldRef: { fieldPath: `metadata.labels['${INDEX_ANNOTATION}']` } },
  };
  const withIndex = <C extends { env?: (typeof env | { name: string })[] | undefined }>(c: C): C =>
    (c.env ?? []).some(({ name }) => name === env.name)
      ? c
      : { ...c, env: [...(c.env ?? []), env] };
  const { initContainers } = draft.spec;
  return {
    ...draft,
    metadata: {
      ...draft.metadata,
      finalizers,
      // 58 characters are what the server keeps of a prefix.
      generateName: `${job.metadata.name.slice(0, 57 - text.length - 1)}-${text}-`,
      labels: { ...draft.metadata.labels, [INDEX_ANNOTATION]: text },
      annotations: {
        ...draft.metadata.annotations,
        [INDEX_ANNOTATION]: text,
        ...failureAnnotations(view, index),
      },
    },
    spec: {
      ...draft.spec,
      hostname: `${job.metadata.name}-${text}`,
      containers: draft.spec.containers.map(withIndex),
      ...(initContainers === undefined ? {} : { initContainers: initContainers.map(withIndex) }),
    },
  };
}
