/**
 * The serviceaccount-token controller: fills Secrets of type kubernetes.io/service-account-token with
 * a token that does not expire, the CA and the namespace; deletes them with their account. Pods do not
 * use such Secrets: theirs come from the TokenRequest API.
 */
import { createHash, createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { SignJWT } from 'jose';
import type { Secret, ServiceAccount } from '#base/kube/api/core-v1.gen.ts';
import { secrets, serviceaccounts } from '#base/kube/api/resources.gen.ts';
import { isKubeError } from '#base/kube/client.ts';
import { keyOf } from '#base/kube/metadata.ts';
import {
  type Controller,
  type ControllerContext,
  runQueueController,
} from './shared/controller.ts';

const TYPE = 'kubernetes.io/service-account-token';
const NAME = 'kubernetes.io/service-account.name';
const UID = 'kubernetes.io/service-account.uid';
const ISSUER = 'kubernetes/serviceaccount';

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

/** Key id as upstream derives it: SHA-256 of the public key's DER form. */
function keyId(key: KeyObject): string {
  const der = createPublicKey(key).export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(der).digest('base64url');
}

/** The claims that the API server's legacy token authenticator looks for. */
export function legacyClaims(secret: Secret, account: ServiceAccount): Record<string, string> {
  const { namespace = '', name, uid } = account.metadata;
  return {
    'kubernetes.io/serviceaccount/namespace': namespace,
    'kubernetes.io/serviceaccount/secret.name': secret.metadata.name,
    'kubernetes.io/serviceaccount/service-account.name': name,
    'kubernetes.io/serviceaccount/service-account.uid': uid,
  };
}

async function signToken(pem: string, secret: Secret, account: ServiceAccount): Promise<string> {
  const key = createPrivateKey(pem);
  const alg = key.asymmetricKeyType === 'rsa' ? 'RS256' : 'ES256';
  const { namespace, name } = account.metadata;
  return new SignJWT(legacyClaims(secret, account))
    .setProtectedHeader({ alg, kid: keyId(key) })
    .setIssuer(ISSUER)
    .setSubject(`system:serviceaccount:${namespace}:${name}`)
    .sign(key);
}

export const serviceAccountTokenController: Controller = {
  name: 'serviceaccount-token-controller',
  run: async (context, signal) => {
    const all = context.informers.informer(secrets, { fieldSelector: `type=${TYPE}` });
    const accounts = context.informers.informer(serviceaccounts);
    await runQueueController(
      context,
      {
        name: 'serviceaccount-token-controller',
        workers: 1,
        informers: [all, accounts],
        subscribe: (queue) => {
          const add = (secret: Secret) => queue.add(keyOf(secret));
          const addOf = (account: ServiceAccount) => {
            for (const secret of all.store.list(account.metadata.namespace)) {
              if (secret.metadata.annotations?.[NAME] === account.metadata.name) add(secret);
            }
          };
          return [
            all.addHandler({ onAdd: add, onUpdate: add }),
            accounts.addHandler({ onAdd: addOf, onDelete: addOf }),
          ];
        },
        sync: (key, stop) => {
          const secret = all.store.getByKey(key);
          const name = secret?.metadata.annotations?.[NAME];
          if (secret === undefined || name === undefined) return Promise.resolve();
          return syncSecret(
            context,
            secret,
            accounts.store.get(secret.metadata.namespace, name),
            stop,
          );
        },
      },
      signal,
    );
  },
};

async function syncSecret(
  context: ControllerContext,
  secret: Secret,
  account: ServiceAccount | undefined,
  signal: AbortSignal,
): Promise<void> {
  const { name, namespace = '', annotations, uid } = secret.metadata;
  const wanted = annotations?.[UID];
  if (account === undefined || (wanted ?? account.metadata.uid) !== account.metadata.uid) {
    const owner = annotations?.[NAME] ?? '';
    if (await isThere(context, { name: owner, namespace, uid: wanted }, signal)) {
      throw new Error(`the cache of service accounts does not show ${namespace}/${owner} yet`);
    }
    try {
      const preconditions = { uid };
      await context.client.delete(secrets, { name, namespace }, { preconditions }, signal);
    } catch (error) {
      if (!isKubeError(error, 'NotFound', 'Conflict')) throw error; // Gone, or another by that name.
    }
    return;
  }
  const readKey = context.config.readServiceAccountKey;
  const ca = base64(context.config.readRootCa());
  const old = secret.data ?? {};
  const isComplete =
    old['token'] !== undefined && old['ca.crt'] === ca && old['namespace'] === base64(namespace);
  if ((isComplete && wanted !== undefined) || readKey === undefined) return;
  const token = old['token'] ?? base64(await signToken(readKey(), secret, account));
  const data = { ...old, 'ca.crt': ca, namespace: base64(namespace), token };
  const metadata = {
    ...secret.metadata,
    annotations: { ...annotations, [UID]: account.metadata.uid },
  };
  await context.client.update(secrets, { ...secret, metadata, data }, signal);
}

/** Asks the server: the cache may be behind, and deletion cannot be undone. */
async function isThere(
  { client }: ControllerContext,
  { name, namespace, uid }: { name: string; namespace: string; uid: string | undefined },
  signal: AbortSignal,
): Promise<boolean> {
  try {
    const account = await client.get(serviceaccounts, { name, namespace }, signal);
    return uid === undefined || uid === account.metadata.uid;
  } catch (error) {
    if (isKubeError(error, 'NotFound')) return false;
    throw error;
  }
}
