/**
 * The configuration file of the control process, checked: unknown keys and bad values name the key.
 */
import * as z from 'zod';
import { memberNetwork, memberSettings } from '#control/store/store.ts';

/** An external etcd in place of the own store. Files are PEM; they are read at each connection. */
const etcd = z
  .strictObject({
    endpoints: z.array(z.url({ protocol: /^https?$/ })).min(1),
    ca: z.string().min(1).optional(),
    cert: z.string().min(1).optional(),
    key: z.string().min(1).optional(),
    /** Before every key, as bytes: one etcd may serve several clusters, and others too. */
    prefix: z
      .string()
      .regex(/^[\0-\xff]*$/, 'must be bytes')
      .default('/bareboat'),
  })
  .refine((c) => (c.cert === undefined) === (c.key === undefined), 'cert and key go together')
  .refine(
    (c) => new Set(c.endpoints.map((url) => new URL(url).protocol)).size === 1,
    'endpoints are all http or all https',
  )
  .refine(
    (c) => (c.ca ?? c.cert) === undefined || c.endpoints.every((url) => url.startsWith('https:')),
    'ca, cert and key need https endpoints',
  );

/** Of the own store, in `dataDir`. */
export const STORE_DIR = 'store';

/** What restoring a snapshot needs, in `dataDir`; gone when it counts. */
export const RESTORE_DIR = 'restore';

const fields = z.strictObject({
  nodeName: z.string().min(1),
  dataDir: z.string().min(1),
  /** Without a host: on every address, IPv6 too where the kernel has it. */
  listen: z.strictObject({ host: z.string().optional(), port: z.int().min(0).max(65535) }),
  advertiseAddress: z.string().min(1),
  serviceCidr: z.string().default('10.96.0.0/16'),
  podCidr: z.string().default('10.244.0.0/16'),
  nodePortRange: z.tuple([z.int(), z.int()]).default([30000, 32767]),
  clusterDomain: z.string().default('cluster.local'),
  pkiDir: z.string().min(1),
  /** What lists and bodies under way may hold together; a sixteenth of the memory, 64 MB at least. */
  requestMemoryBytes: z.int().positive().optional(),
  /** Off when absent. `filesMax` files of `bytesMax` bytes are kept. */
  audit: z
    .strictObject({
      path: z.string().min(1),
      bytesMax: z.int().min(100_000).default(10_000_000),
      filesMax: z.int().min(2).max(100).default(5),
    })
    .optional(),
  etcd: etcd.optional(),
  /** Unix socket of control's part of the machine API. */
  socketPath: z.string().min(1).optional(),
  /** Snapshots of the own store, taken by itself into `dataDir`/backups; none where `everyHours` is 0. */
  backup: z.strictObject({ everyHours: z.int().min(0), keep: z.int().min(1) }).optional(),
  /** How the own store's other members reach it; without it the store has but this member. */
  store: memberNetwork.optional(),
  /** Bounds and timers of the own store. */
  storeSettings: memberSettings.optional(),
  logLevel: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
  version: z
    .strictObject({ gitVersion: z.string(), gitCommit: z.string(), buildDate: z.string() })
    .default({
      gitVersion: 'v1.36.3+bareboat',
      gitCommit: '',
      buildDate: '1970-01-01T00:00:00Z',
    }),
});

const schema = fields.refine(
  (c) => c.etcd === undefined || c.store === undefined,
  'etcd stands in place of the own store: give one of etcd and store',
);

export type ControlConfig = z.infer<typeof schema>;

/** Throws an Error that names the key at fault. */
export function parseControlConfig(text: string): ControlConfig {
  const parsed = schema.safeParse(JSON.parse(text));
  if (parsed.success) return parsed.data;
  throw new Error(`control config: ${z.prettifyError(parsed.error)}`);
}
