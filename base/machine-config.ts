/**
 * The machine's configuration: one YAML document, one schema, strict. Unknown keys are errors with a
 * suggestion; every problem names its field and value. Written by `bareboat init` and by people, read by
 * the supervisor, which keeps it in STATE. Secrets lie in a document of their own (ClusterSecrets), so
 * that this one can be shown and kept under version control.
 */
import { parseDocument, stringify } from 'yaml';
import * as z from 'zod';
import { networkOf, parseCidr } from './ip.ts';
import { kubeletSettingsSchema } from './kubelet-settings.ts';
import {
  certificateName,
  cidr,
  dnsDomain,
  dnsLabel,
  host,
  ipAddress,
  ipv4,
  labels,
  mirrors,
  range,
  registryHost,
  sysctls,
} from './machine-config-fields.ts';

const link = z
  .strictObject({
    /** One of the two names the link: `eth0` or its hardware address. */
    name: z
      .string()
      .regex(/^[^\s/:,*?]{1,15}$/, "must be a link's name")
      .optional(),
    mac: z
      .string()
      .regex(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/, 'must be like 52:54:00:12:34:56')
      .optional(),
    dhcp: z.boolean().default(true),
    /** With prefix length: `192.0.2.10/24`. */
    addresses: z.array(cidr).default([]),
    gateway: ipv4.optional(),
    mtu: z.int().min(576).max(65535).optional(),
  })
  .refine((l) => (l.name === undefined) !== (l.mac === undefined), 'needs either name or mac');

export const machineConfigSchema = z.strictObject({
  version: z.literal(1),
  node: z.strictObject({
    name: dnsLabel,
    /** control: runs the control plane; worker: never; auto: may be elected. */
    role: z.enum(['auto', 'control', 'worker']).default('auto'),
    labels: labels.default({}),
    /** Workloads on a control-plane node. */
    schedulable: z.boolean().default(true),
    /** How long all pods together may take to end when the machine goes down. */
    shutdownGraceSeconds: z.int().min(0).max(3600).default(30),
  }),
  network: z
    .strictObject({
      /** Links not named here get addresses by DHCP. */
      links: z
        .array(link)
        .default([])
        .check(({ value, issues }) => {
          const seen = new Set<string>();
          for (const [index, { name, mac }] of value.entries()) {
            const key = name ?? mac ?? '';
            const message = `${key} is configured twice`;
            if (seen.has(key))
              issues.push({ code: 'custom', path: [index], message, input: value });
            seen.add(key);
          }
        }),
      nameservers: z.array(ipAddress).default([]),
      timeServers: z.array(host).default([]),
    })
    .prefault({}),
  cluster: z
    .strictObject({
      name: dnsLabel,
      domain: dnsDomain.default('cluster.local'),
      podCidr: range.default('10.244.0.0/16'),
      serviceCidr: range.default('10.96.0.0/16'),
      /** Addresses and names, beside the nodes' own, that the API's certificate stands for. */
      extraNames: z.array(certificateName).default([]),
    })
    .refine(({ podCidr, serviceCidr }) => !overlap(podCidr, serviceCidr), {
      path: ['serviceCidr'],
      error: 'overlaps with cluster.podCidr',
    }),
  apiServer: z
    .strictObject({
      /**
       * Who asked what of the Kubernetes API, without bodies, as lines of audit.k8s.io/v1: kept on STORE, beside
       * the cluster's state, and read by `bareboat logs audit`. Off when absent; `{}` turns it on.
       */
      audit: z
        .strictObject({
          /** Of one file. */
          bytesMax: z.int().min(100_000).max(50_000_000).default(10_000_000),
          /** The newest so many are kept. */
          filesMax: z.int().min(2).max(10).default(5),
        })
        .optional(),
    })
    .prefault({}),
  store: z
    .strictObject({
      /**
       * Of the cluster's state, live keys and values; absent: a quarter of the memory of the smallest machine
       * that keeps it, at most 2 GiB.
       */
      quotaBytes: z
        .int()
        .min(64 * 2 ** 20)
        .optional(),
      /** Snapshots of the cluster's state that control takes by itself, kept on STORE beside it. */
      backup: z
        .strictObject({
          /** Hours between two of them; 0: none. */
          everyHours: z
            .int()
            .min(0)
            .max(24 * 31)
            .default(24),
          /** The newest so many are kept, as far as there is room. */
          keep: z.int().min(1).max(100).default(3),
        })
        .prefault({}),
    })
    .prefault({}),
  kubelet: kubeletSettingsSchema.prefault({}),
  /** By name, as sysctl(8) knows it: `vm.max_map_count`. */
  sysctls: sysctls.default({}),
  registries: z
    .strictObject({
      /** By registry host (`*`: all): base URLs to ask first, in order. */
      mirrors: mirrors.default({}),
      /** Registries spoken to without TLS. */
      insecure: z.array(registryHost).default([]),
    })
    .prefault({}),
});

export type MachineConfig = z.infer<typeof machineConfigSchema>;

const keyPair = z.strictObject({ certificate: z.string(), key: z.string() });

/** Keys of a cluster: made once by `bareboat init`, kept by its owner, given to control nodes. */
export const clusterSecretsSchema = z.strictObject({
  version: z.literal(1),
  /** Signs the machine API's servers and clients. */
  machineCa: keyPair,
  kubernetesCa: keyPair,
  aggregatorCa: keyPair,
  serviceAccount: z.strictObject({ privateKey: z.string(), publicKey: z.string() }),
  /** 32 bytes, base64. */
  encryptionKey: z.string(),
  joinToken: z.string(),
});

export type ClusterSecrets = z.infer<typeof clusterSecretsSchema>;

export interface ConfigProblem {
  /** `network.links[0].mac`; empty for the document as a whole. */
  readonly field: string;
  readonly message: string;
}

export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    super(
      problems.map((p) => (p.field === '' ? p.message : `${p.field}: ${p.message}`)).join('; '),
    );
    this.problems = problems;
  }
}

/** The configuration with its defaults. Throws ConfigError with every problem found. */
export function parseMachineConfig(yaml: string): MachineConfig {
  return parseYamlWith(machineConfigSchema, yaml);
}

/** Throws ConfigError; values never appear in it. */
export function parseClusterSecrets(yaml: string): ClusterSecrets {
  return parseYamlWith(clusterSecretsSchema, yaml);
}

export function formatYaml(value: MachineConfig | ClusterSecrets): string {
  return stringify(value, { lineWidth: 0 });
}

/** Whether one of two valid ranges holds the other's first address. */
function overlap(a: string, b: string): boolean {
  const [x, y] = [parseCidr(a), parseCidr(b)];
  if (x === undefined || y === undefined) return false; // Each says so by itself.
  const prefixLength = Math.min(x.prefixLength, y.prefixLength);
  const network = (range: typeof x) => networkOf({ ...range, prefixLength }).address.join('.');
  return network(x) === network(y);
}

/** Parses strictly: unknown and repeated keys are problems. Throws ConfigError with every problem found. */
export function parseYamlWith<T>(schema: z.ZodType<T>, yaml: string): T {
  const document = parseDocument(yaml, { uniqueKeys: true });
  if (document.errors.length > 0) {
    throw new ConfigError(document.errors.map((error) => ({ field: '', message: error.message })));
  }
  const value: unknown = document.toJS();
  const parsed = schema.safeParse(value, { reportInput: true });
  if (parsed.success) return parsed.data;
  throw new ConfigError(parsed.error.issues.flatMap((issue) => toProblems(issue, schema)));
}

function toProblems(issue: z.core.$ZodIssue, schema: z.ZodType): ConfigProblem[] {
  const field = formatPath(issue.path);
  if (issue.code === 'unrecognized_keys') {
    const known = keysAt(schema, issue.path);
    return issue.keys.map((key) => {
      const near = nearest(key, known);
      const hint = near === undefined ? '' : `; did you mean ${near}?`;
      return { field: field === '' ? key : `${field}.${key}`, message: `unknown key${hint}` };
    });
  }
  const shown = typeof issue.input === 'object' ? '' : `${JSON.stringify(issue.input)}: `;
  return [{ field, message: `${shown}${issue.message}` }];
}

function formatPath(path: readonly PropertyKey[]): string {
  return path
    .map((part, index) =>
      typeof part === 'number' ? `[${part}]` : `${index === 0 ? '' : '.'}${String(part)}`,
    )
    .join('');
}

/** The keys that the schema has at `path`, through defaults and lists. */
function keysAt(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let at: unknown = schema;
  for (const part of [...path, undefined]) {
    while (
      at instanceof z.ZodDefault ||
      at instanceof z.ZodOptional ||
      at instanceof z.ZodPrefault
    ) {
      at = at.unwrap();
    }
    if (part === undefined) break;
    if (at instanceof z.ZodArray) at = at.element;
    else if (at instanceof z.ZodObject) at = at.shape[String(part)];
    else return [];
  }
  return at instanceof z.ZodObject ? Object.keys(at.shape) : [];
}

/** The candidate that differs by at most a third of its letters. */
function nearest(key: string, candidates: readonly string[]): string | undefined {
  const scored = candidates
    .map((candidate) => ({
      candidate,
      distance: editDistance(key.toLowerCase(), candidate.toLowerCase()),
    }))
    .filter(({ candidate, distance }) => distance <= Math.max(2, candidate.length / 3))
    .toSorted((a, b) => a.distance - b.distance);
  return scored[0]?.candidate;
}

/** Levenshtein distance, one row at a time. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
