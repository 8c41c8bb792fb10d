/**
 * The vocabulary of the pod state machine: what is observed of one pod, what the kubelet remembers
 * about it between two looks, and the operations that may be started. Plain data; `planPod` reads
 * it, the pod worker fills it in and executes the operations.
 */
import type {
  Container as SpecContainer,
  EphemeralContainer,
  Pod,
  ResourceRequirements,
} from '#base/kube/api/core-v1.gen.ts';
import type { Container, Sandbox } from '../../runtime/port.ts';

/** What the probes say about one running container; absent results count as "not yet known". */
export interface ProbeVerdict {
  /** True without a startup probe. */
  readonly started: boolean;
  /** True without a readiness probe, once started. */
  readonly ready: boolean;
  /** The probe that ran out of its failure threshold. */
  readonly failed: 'liveness' | 'startup' | undefined;
}

export interface PodView {
  readonly pod: Pod;
  /** The object is gone from the API (or another pod has its name): end as fast as possible. */
  readonly removed: boolean;
  readonly sandboxes: readonly Sandbox[];
  readonly containers: readonly Container[];
  readonly probe: (containerId: string) => ProbeVerdict;
  readonly inFlight: readonly Operation[];
  /** Why the pod may not have the resources that it asks for now, if it asks for others. */
  readonly resizeRefusal?: ResizeRefusal | undefined;
  readonly nowMs: number;
}

/** Deferred: not now; Infeasible: never on this node. */
export interface ResizeRefusal {
  readonly reason: 'Deferred' | 'Infeasible';
  readonly message: string;
}

export type Operation =
  | { readonly kind: 'mountVolumes' }
  | { readonly kind: 'unmountVolumes' }
  | { readonly kind: 'runSandbox'; readonly attempt: number }
  | { readonly kind: 'stopSandbox'; readonly sandboxId: string }
  | { readonly kind: 'removeSandbox'; readonly sandboxId: string }
  | { readonly kind: 'ensureImage'; readonly container: string; readonly image: string }
  | {
      readonly kind: 'startContainer';
      readonly container: string;
      readonly attempt: number;
      readonly sandboxId: string;
      readonly imageId: string;
    }
  | {
      readonly kind: 'preStop';
      readonly container: string;
      readonly containerId: string;
      readonly deadlineMs: number;
    }
  | {
      readonly kind: 'stopContainer';
      readonly container: string;
      readonly containerId: string;
      readonly deadlineMs: number;
    }
  | { readonly kind: 'removeContainer'; readonly containerId: string }
  | {
      readonly kind: 'resizePod';
      readonly sandboxId: string;
      readonly containers: readonly ResizedContainer[];
    }
  | { readonly kind: 'deletePod' };

export interface ResizedContainer {
  readonly name: string;
  readonly containerId: string;
  readonly resources: ResourceRequirements;
}

/** One operation of a key runs at a time; a stop with an earlier deadline replaces the running one. */
export function operationKey(op: Operation): string {
  switch (op.kind) {
    case 'stopSandbox':
    case 'removeSandbox':
      return `${op.kind}:${op.sandboxId}`;
    case 'ensureImage':
    case 'startContainer':
      return `${op.kind}:${op.container}`;
    case 'preStop':
    case 'stopContainer':
    case 'removeContainer':
      return `${op.kind}:${op.containerId}`;
    default:
      return op.kind;
  }
}

/** How an operation ended, as far as the plan cares. */
export type Outcome =
  | { readonly ok: true; readonly imageId?: string }
  | {
      readonly ok: false;
      readonly reason: string;
      readonly message: string;
      readonly cancelled?: boolean;
    };

/** A condition that ends the pod as Failed whatever its containers do. */
export interface Verdict {
  readonly reason: string;
  readonly message: string;
  /** At most so much for the containers to stop; the pod's own grace otherwise. */
  readonly graceMs?: number | undefined;
  /** It is not the pod's own doing: shown as the condition DisruptionTarget, which Jobs look at. */
  readonly disruption?: true | undefined;
}

/** The node goes down: containers stop, each within the bound, and none is started any more. */
export interface NodeEnd {
  readonly graceMsMax: number;
}

/** A failure that is tried again: state is `waiting` with this reason until then. */
export interface Retry {
  readonly reason: string;
  readonly message: string;
  readonly failureCount: number;
  readonly failedAtMs: number;
  readonly retryAtMs: number;
}

export interface CrashState {
  /** The exited container that this wait belongs to. */
  readonly containerId: string;
  /** Wait after its end; 0 at the first end. */
  readonly delayMs: number;
  readonly restartAtMs: number;
}

export interface ContainerMemory {
  /** The image is there for the next start, which consumes this. */
  readonly imageId?: string | undefined;
  readonly pull?: Retry | undefined;
  readonly start?: Retry | undefined;
  readonly crash?: CrashState | undefined;
}

/** A container being stopped: why, since when and with how much time. */
export interface StopMemory {
  readonly sinceMs: number;
  readonly graceMs: number;
  readonly preStopDone: boolean;
}

export interface PodMemory {
  readonly verdict?: Verdict | undefined;
  readonly nodeEnd?: NodeEnd | undefined;
  /** Since when the pod as a whole is being ended; never unset. */
  readonly endingSinceMs?: number | undefined;
  readonly volumesMounted: boolean;
  readonly volumes?: Retry | undefined;
  /** Unmounted after the end. */
  readonly volumesReleased: boolean;
  readonly sandbox?: Retry | undefined;
  readonly containers: Readonly<Record<string, ContainerMemory>>;
  readonly stops: Readonly<Record<string, StopMemory>>;
  /** Resources that each running container has, by its id. */
  readonly applied: Readonly<Record<string, ResourceRequirements>>;
  readonly resize?: Retry | undefined;
  /** Failed operations of cleaning up, by key. */
  readonly cleanup: Readonly<Record<string, Retry>>;
  /** The API server accepted the final delete. */
  readonly deleted: boolean;
}

export const EMPTY_MEMORY: PodMemory = {
  volumesMounted: false,
  volumesReleased: false,
  containers: {},
  stops: {},
  applied: {},
  cleanup: {},
  deleted: false,
};

/** An Event for users, about the pod or one of its containers. */
export interface Notice {
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
  readonly container?: string | undefined;
}

export interface Plan {
  readonly memory: PodMemory;
  readonly start: readonly Operation[];
  /** Keys of running operations to abort. */
  readonly cancel: readonly string[];
  readonly notices: readonly Notice[];
  /** When to look again even if nothing happens. */
  readonly wakeAtMs: number | undefined;
  /** Nothing is left of the pod here and in the API. */
  readonly done: boolean;
}

export type AnyContainer = SpecContainer | EphemeralContainer;
