/** What pods use now: memory and processes from their cgroups, disk measured directory by directory. */
import { join } from 'node:path';
import { errorText } from '#base/errors.ts';
import { diskUsage } from '#base/linux/disk-usage.ts';
import type { Log } from '#base/log.ts';
import type { Container, ContainerRuntime, DiskUsage } from '../../runtime/port.ts';
import { history } from '../lifecycle/containers.ts';
import type { PodWorker } from '../pod/pod-worker.ts';
import type { ContainerUsage, PodUsage } from './rank.ts';

type MeasuredPod = Pick<PodWorker, 'uid' | 'pod' | 'paths'>;

export interface UsageIo {
  readonly runtime: Pick<ContainerRuntime, 'listContainers' | 'stats' | 'writableLayer'>;
  readonly log: Log;
}

const NOTHING: DiskUsage = { bytes: 0, inodes: 0 };

/** Without `disk` only what costs nothing is read. */
export async function readPodUsage(
  io: UsageIo,
  { uid, pod, paths }: MeasuredPod,
  { disk }: { readonly disk: boolean },
): Promise<PodUsage> {
  const records = io.runtime.listContainers().filter((c) => c.podUid === uid);
  // Pods do as they like in their directories; one that cannot be measured ends nobody else.
  const measure = async (what: () => Promise<DiskUsage>): Promise<DiskUsage> => {
    if (!disk) return NOTHING;
    try {
      return await what();
    } catch (error) {
      const { namespace, name } = pod.metadata;
      io.log.warn('pod not measured', { pod: `${namespace}/${name}`, error: errorText(error) });
      return NOTHING;
    }
  };
  const containerUsage = async (record: Container): Promise<ContainerUsage> => {
    const stats = io.runtime.stats(record.id);
    return {
      name: record.name,
      memoryBytes: stats?.memoryWorkingSetBytes ?? 0,
      pids: stats?.pids ?? 0,
      rootfs: await measure(() => io.runtime.writableLayer(record.id)),
      logs: await measure(() => diskUsage(join(paths.logDirectory, record.name))),
    };
  };
  const containers: ContainerUsage[] = [];
  for (const name of new Set(records.map((c) => c.name))) {
    const [newest] = history(records, name);
    if (newest !== undefined) containers.push(await containerUsage(newest));
  }
  const volumes: Record<string, DiskUsage> = {};
  for (const { name, emptyDir } of pod.spec.volumes ?? []) {
    if (emptyDir === undefined || (emptyDir.medium ?? '') !== '') continue;
    volumes[name] = await measure(() => diskUsage(paths.volume(name)));
  }
  return { containers, volumes };
}
