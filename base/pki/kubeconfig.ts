/** The kubeconfig file of one user of one cluster (kubectl's `Config`, v1). */
import type { KeyPair } from './pki.ts';

export interface KubeconfigInput {
  readonly cluster: string;
  readonly user: string;
  /** `https://host:port`. */
  readonly server: string;
  /** PEM. */
  readonly caCertificate: string;
  readonly credentials: KeyPair;
}

/** YAML, with certificates inline, so that the file can be moved. */
export function formatKubeconfig(input: KubeconfigInput): string {
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  return `apiVersion: v1
kind: Config
clusters:
- name: ${input.cluster}
  cluster:
    server: ${input.server}
    certificate-authority-data: ${base64(input.caCertificate)}
users:
- name: ${input.user}
  user:
    client-certificate-data: ${base64(input.credentials.certificate)}
    client-key-data: ${base64(input.credentials.key)}
contexts:
- name: ${input.user}@${input.cluster}
  context:
    cluster: ${input.cluster}
    user: ${input.user}
current-context: ${input.user}@${input.cluster}
`;
}
