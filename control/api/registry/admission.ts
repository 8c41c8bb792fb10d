/**
 * Admission as the registry calls it: plugins that may change an object before the resource's own
 * rules see it, and plugins that may refuse the result. The chain is put together in ../admission.
 */
import type { KubeObject } from '#base/kube/client.ts';
import type { HookContext } from '../resource.ts';
import type { ServedResource } from './served-resource.ts';

export interface WriteContext extends HookContext {
  readonly signal: AbortSignal;
  /** Adds a Warning header to the response. */
  warn(text: string): void;
  /** Adds a line to the request's entry in the audit log. */
  annotate(key: string, value: string): void;
}

export interface AdmissionRequest {
  readonly operation: 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT';
  readonly resource: ServedResource;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  /** Storage version; plugins change it in place. Absent for DELETE. */
  readonly object: KubeObject | undefined;
  readonly old: KubeObject | undefined;
  readonly context: WriteContext;
}

export interface AdmissionPlugin {
  readonly name: string;
  mutate?(request: AdmissionRequest): void | Promise<void>;
  validate?(request: AdmissionRequest): void | Promise<void>;
}

export class AdmissionChain {
  readonly #plugins: readonly AdmissionPlugin[];

  constructor(plugins: readonly AdmissionPlugin[]) {
    this.#plugins = plugins;
  }

  async mutate(request: AdmissionRequest): Promise<void> {
    for (const plugin of this.#plugins) {
      const done = plugin.mutate?.(request);
      if (done !== undefined) await done;
    }
  }

  async validate(request: AdmissionRequest): Promise<void> {
    for (const plugin of this.#plugins) {
      const done = plugin.validate?.(request);
      if (done !== undefined) await done;
    }
  }
}
