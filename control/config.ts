/**
 * The configuration file of the control process, checked: unknown keys and bad values name the key.
 */
import * as z from 'zod';

const schema = z.strictObject({
  nodeName: z.string().min(1),
  dataDir: z.string().min(1),
  listen: z.strictObject({ host: z.string(), port: z.int().min(0).max(65535) }),
  advertiseAddress: z.string().min(1),
  serviceCidr: z.string().default('10.96.0.0/16'),
  podCidr: z.string().default('10.244.0.0/16'),
  nodePortRange: z.tuple([z.int(), z.int()]).default([30000, 32767]),
  clusterDomain: z.string().default('cluster.local'),
  pkiDir: z.string().min(1),
  /** Off when absent. `filesMax` files of `bytesMax` bytes are kept. */
  audit: z
    .strictObject({
      path: z.string().min(1),
      bytesMax: z.int().min(100_000).default(10_000_000),
      filesMax: z.int().min(2).max(100).default(5),
    })
    .optional(),
  logLevel: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
  version: z
    .strictObject({ gitVersion: z.string(), gitCommit: z.string(), buildDate: z.string() })
    .default({
      gitVersion: 'v1.36.3+bareboat',
      gitCommit: '',
      buildDate: '1970-01-01T00:00:00Z',
    }),
});

export type ControlConfig = z.infer<typeof schema>;

/** Throws an Error that names the key at fault. */
export function parseControlConfig(text: string): ControlConfig {
  const parsed = schema.safeParse(JSON.parse(text));
  if (parsed.success) return parsed.data;
  throw new Error(`control config: ${z.prettifyError(parsed.error)}`);
}
