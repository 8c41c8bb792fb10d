/** The agent's configuration file: written by the supervisor or the `make dev` launcher. */
import { readFileSync } from 'node:fs';
import * as z from 'zod';
import { kubeletSettingsSchema } from '#base/kubelet-settings.ts';

const AgentConfigSchema = z.strictObject({
  nodeName: z.string().min(1),
  nodeIp: z.string().min(1),
  /** `https://HOST:PORT`. */
  apiServer: z.url(),
  dataDir: z.string().startsWith('/'),
  runDir: z.string().startsWith('/'),
  pkiDir: z.string().startsWith('/'),
  /** Pods of this node. */
  podCidr: z.string(),
  /** Pods of the whole cluster; a cluster of one node has the same. */
  clusterPodCidr: z.string().optional(),
  serviceCidr: z.string(),
  clusterDns: z.union([z.string(), z.array(z.string())]),
  clusterDomain: z.string(),
  /** Below the cgroup mount. */
  cgroupRoot: z.string(),
  kubeletPort: z.int(),
  socketPath: z.string().startsWith('/'),
  logLevel: z.enum(['debug', 'info', 'warn', 'error']),
  /** Where collectors look for container logs. */
  podLogDir: z.string().default('/var/log/pods'),
  /** Up to 15 characters. */
  bridgeName: z.string().default('bareboat0'),
  runcPath: z.string().default('/usr/sbin/runc'),
  conmonPath: z.string().default('/usr/bin/conmon'),
  /** Kept back from pods. */
  reserved: z.strictObject({ memoryBytes: z.int().min(0) }).default({ memoryBytes: 256 << 20 }),
  /** Of the Node, kept as they are here. */
  labels: z.record(z.string(), z.string()).default({}),
  taints: z
    .array(
      z.strictObject({
        key: z.string(),
        value: z.string().optional(),
        effect: z.enum(['NoSchedule', 'PreferNoSchedule', 'NoExecute']),
      }),
    )
    .default([]),
  kubelet: kubeletSettingsSchema.prefault({}),
  registries: z
    .strictObject({
      mirrors: z.record(z.string(), z.array(z.string())).optional(),
      insecure: z.array(z.string()).optional(),
    })
    .optional(),
});

export type AgentConfig = z.infer<typeof AgentConfigSchema>;

/** Throws an Error that names the file and each wrong field. */
export function readAgentConfig(path: string): AgentConfig {
  const parsed = AgentConfigSchema.safeParse(JSON.parse(readFileSync(path, 'utf8')));
  if (parsed.success) return parsed.data;
  throw new Error(`${path}: ${z.prettifyError(parsed.error)}`);
}
