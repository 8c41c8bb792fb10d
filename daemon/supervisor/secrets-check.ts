/** Whether the cluster's secrets are what they claim to be: PEM that can be read, keys that fit. */
import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { type ClusterSecrets, ConfigError, type ConfigProblem } from '#base/machine-config.ts';

const PAIRS = ['machineCa', 'kubernetesCa', 'aggregatorCa'] as const;
const ENCRYPTION_KEY_BYTES = 32;

/** Throws ConfigError with every field that is wrong; values never appear in it. */
export function checkSecrets(secrets: ClusterSecrets): void {
  const problems: ConfigProblem[] = [];
  for (const field of PAIRS) {
    const message = pairProblem(secrets[field]);
    if (message !== undefined) problems.push({ field, message });
  }
  const { privateKey, publicKey } = secrets.serviceAccount;
  if (!fits(privateKey, publicKey)) {
    problems.push({ field: 'serviceAccount', message: 'the halves of the key do not fit' });
  }
  if (Buffer.from(secrets.encryptionKey, 'base64').length !== ENCRYPTION_KEY_BYTES) {
    const message = `must be ${ENCRYPTION_KEY_BYTES} bytes in base64`;
    problems.push({ field: 'encryptionKey', message });
  }
  if (problems.length > 0) throw new ConfigError(problems);
}

/** Whether `secrets` are of the cluster whose machine CA is `certificate`. */
export function isOfCluster(secrets: ClusterSecrets, certificate: string): boolean {
  try {
    const own = new X509Certificate(secrets.machineCa.certificate);
    return own.fingerprint256 === new X509Certificate(certificate).fingerprint256;
  } catch {
    return false; // One of them is no certificate.
  }
}

function pairProblem(pair: { certificate: string; key: string }): string | undefined {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(pair.certificate);
  } catch {
    return 'certificate: is no PEM certificate';
  }
  if (!certificate.ca) return 'certificate: is none of an authority';
  try {
    const key = createPrivateKey(pair.key);
    return certificate.checkPrivateKey(key) ? undefined : 'key: does not fit the certificate';
  } catch {
    return 'key: is no PEM key';
  }
}

function fits(privateKey: string, publicKey: string): boolean {
  try {
    const format = { type: 'spki', format: 'der' } as const;
    const own = createPublicKey(createPrivateKey(privateKey)).export(format);
    return own.equals(createPublicKey(publicKey).export(format));
  } catch {
    return false; // One of them is no key.
  }
}
