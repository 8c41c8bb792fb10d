/** What pods need of the rest of the kubelet: ports, shared parts and facts of the node. */
import type { Clock } from '#base/clock.ts';
import type { Pod, Service } from '#base/kube/api/core-v1.gen.ts';
import type { KubeClient } from '#base/kube/client.ts';
import type { EventRecorder } from '#base/kube/event-recorder.ts';
import type { Log } from '#base/log.ts';
import type { TaskScope } from '#base/task-scope.ts';
import type { ContainerRuntime, ImageService } from '../../runtime/port.ts';
import type { WatchedObjects } from '../api/objects.ts';
import type { ImagePuller } from '../image/image-puller.ts';
import type { ResizeRefusal } from '../lifecycle/model.ts';
import type { Prober } from '../probe/prober.ts';
import type { Mounter } from '../volume/mounter.ts';

export interface NodeFacts {
  readonly nodeName: string;
  /** Addresses of the node, the primary one first. */
  readonly hostIPs: readonly string[];
  readonly allocatable: Readonly<Record<string, string>>;
  readonly memoryBytes: number;
}

export interface PodSettings {
  readonly dataDir: string;
  readonly logDir: string;
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  /** The node's own files, read for pods on the host network and for dnsPolicy Default. */
  readonly hostsFile: string;
  readonly resolvConf: string;
}

export interface PodIo {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
  readonly runtime: ContainerRuntime;
  readonly images: ImageService;
  readonly mounter: Mounter;
  readonly puller: ImagePuller;
  readonly prober: Prober;
  readonly objects: WatchedObjects;
  readonly events: EventRecorder;
  readonly services: () => readonly Service[];
  readonly node: NodeFacts;
  readonly settings: PodSettings;
  /** Why the node cannot give the pod what its spec asks for, if so. */
  readonly mayResize: (pod: Pod) => ResizeRefusal | undefined;
  /** Owns everything that pods run. */
  readonly tasks: TaskScope;
}
