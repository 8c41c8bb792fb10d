/**
 * The operator's client configuration (`bareboat.yaml`): where the machine API is, whom to trust, who one
 * is. Written by `bareboat init`, read by the CLI.
 */
import { parse, stringify } from 'yaml';
import { z } from 'zod';

const schema = z.strictObject({
  version: z.literal(1),
  cluster: z.string(),
  /** `host:port`; tried in order. */
  endpoints: z.array(z.string()).default([]),
  /** PEM of the machine CA. */
  ca: z.string(),
  /** PEM of the client's certificate and key. */
  certificate: z.string(),
  key: z.string(),
});

export type ClientConfig = z.infer<typeof schema>;

/** Throws an Error that names the key at fault. */
export function parseClientConfig(yaml: string): ClientConfig {
  const parsed = schema.safeParse(parse(yaml));
  if (!parsed.success) throw new Error(`client configuration: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

export function formatClientConfig(config: ClientConfig): string {
  return stringify(config, { lineWidth: 0 });
}
