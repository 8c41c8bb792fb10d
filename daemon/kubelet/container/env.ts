/**
 * The environment of a container: service variables, then envFrom, then env, each over the one
 * before; `$(X)` in a value sees what was set so far. Config maps and secrets come through a port,
 * because they may have to be fetched, files of volumes through another; a missing one is a ConfigError
 * with upstream's text.
 */
import type {
  ConfigMap,
  EnvVar,
  FileKeySelector,
  Pod,
  Secret,
  Service,
} from '#base/kube/api/core-v1.gen.ts';
import type { AnyContainer } from '../lifecycle/model.ts';
import { ConfigError } from './config-error.ts';
import { EnvFileError, envFileValue } from './env-file.ts';
import { expand } from './expand.ts';
import { type FieldFacts, fieldValue, resourceValue } from './fields.ts';

/** Objects that a pod may refer to, in its own namespace. Undefined: there is no such object. */
export interface ReferencedObjects {
  configMap(name: string, signal: AbortSignal): Promise<ConfigMap | undefined>;
  secret(name: string, signal: AbortSignal): Promise<Secret | undefined>;
}

export interface EnvInput {
  readonly pod: Pod;
  readonly container: AnyContainer;
  readonly services: readonly Service[];
  readonly facts: FieldFacts;
  readonly objects: ReferencedObjects;
  /** Text of a file in a volume of the pod; undefined when there is no such file. */
  readonly volumeFile: (volumeName: string, path: string) => string | undefined;
}

export async function containerEnv(
  input: EnvInput,
  signal: AbortSignal,
): Promise<Map<string, string>> {
  const result = new Map<string, string>();
  for (const source of input.container.envFrom ?? []) {
    const data = await envFromData(input, source, signal);
    for (const [key, value] of data) result.set((source.prefix ?? '') + key, value);
  }
  const services = serviceEnv(input.pod, input.services);
  for (const variable of input.container.env ?? []) {
    const value = await envValue(input, variable, { result, services, signal });
    if (value !== undefined) result.set(variable.name, value);
  }
  for (const [name, value] of services) if (!result.has(name)) result.set(name, value);
  return result;
}

type EnvFrom = NonNullable<AnyContainer['envFrom']>[number];

async function envFromData(
  { pod, objects }: EnvInput,
  source: EnvFrom,
  signal: AbortSignal,
): Promise<[string, string][]> {
  if (source.configMapRef !== undefined) {
    const { name = '', optional } = source.configMapRef;
    const map = await objects.configMap(name, signal);
    if (map === undefined && optional !== true) throw notFound('configmap', name);
    return Object.entries(map?.data ?? {});
  }
  if (source.secretRef !== undefined) {
    const { name = '', optional } = source.secretRef;
    const secret = await objects.secret(name, signal);
    if (secret === undefined && optional !== true) throw notFound('secret', name);
    return Object.entries(secret?.data ?? {}).map(([key, value]) => [key, decode(value)]);
  }
  throw new ConfigError(`envFrom of pod ${pod.metadata.name} names no source`);
}

const decode = (base64: string) => Buffer.from(base64, 'base64').toString('utf8');

export function notFound(kind: 'configmap' | 'secret', name: string): ConfigError {
  return new ConfigError(`${kind} ${JSON.stringify(name)} not found`);
}

interface EnvScope {
  readonly result: ReadonlyMap<string, string>;
  readonly services: ReadonlyMap<string, string>;
  readonly signal: AbortSignal;
}

async function envValue(
  input: EnvInput,
  variable: EnvVar,
  scope: EnvScope,
): Promise<string | undefined> {
  const { valueFrom } = variable;
  if (valueFrom === undefined) {
    return expand(
      variable.value ?? '',
      (name) => scope.result.get(name) ?? scope.services.get(name),
    );
  }
  const { pod, facts, container } = input;
  if (valueFrom.fieldRef !== undefined) return fieldValue(pod, valueFrom.fieldRef.fieldPath, facts);
  if (valueFrom.resourceFieldRef !== undefined) {
    const { containerName } = valueFrom.resourceFieldRef;
    const of = containerName === undefined || containerName === '' ? container.name : containerName;
    return resourceValue(pod, { ...valueFrom.resourceFieldRef, containerName: of }, facts);
  }
  if (valueFrom.configMapKeyRef !== undefined) {
    return configMapKey(input, valueFrom.configMapKeyRef, scope.signal);
  }
  if (valueFrom.secretKeyRef !== undefined) {
    return secretKey(input, valueFrom.secretKeyRef, scope.signal);
  }
  if (valueFrom.fileKeyRef !== undefined) return fileKey(input, valueFrom.fileKeyRef);
  throw new ConfigError(`source of environment variable ${variable.name} is not supported`);
}

interface KeyRef {
  readonly name?: string | undefined;
  readonly key: string;
  readonly optional?: boolean | undefined;
}

async function configMapKey(input: EnvInput, ref: KeyRef, signal: AbortSignal) {
  const { name = '', key, optional } = ref;
  const map = await input.objects.configMap(name, signal);
  if (map === undefined && optional !== true) throw notFound('configmap', name);
  const value = map?.data?.[key];
  if (value === undefined && optional !== true) {
    const namespace = input.pod.metadata.namespace ?? '';
    throw new ConfigError(`couldn't find key ${key} in ConfigMap ${namespace}/${name}`);
  }
  return value;
}

async function secretKey(input: EnvInput, ref: KeyRef, signal: AbortSignal) {
  const { name = '', key, optional } = ref;
  const secret = await input.objects.secret(name, signal);
  if (secret === undefined && optional !== true) throw notFound('secret', name);
  const value = secret?.data?.[key];
  if (value === undefined && optional !== true) {
    const namespace = input.pod.metadata.namespace ?? '';
    throw new ConfigError(`couldn't find key ${key} in Secret ${namespace}/${name}`);
  }
  return value === undefined ? undefined : decode(value);
}

/** An absent file is an absent key; one with an empty value counts as absent too, as upstream has it. */
function fileKey(input: EnvInput, ref: FileKeySelector): string | undefined {
  const { volumeName, path, key, optional } = ref;
  let value: string | undefined;
  try {
    value = envFileValue(input.volumeFile(volumeName, path) ?? '', key);
  } catch (error) {
    if (!(error instanceof EnvFileError)) throw error;
    throw new ConfigError(`couldn't parse env file ${path} of volume ${volumeName}`, {
      cause: error,
    });
  }
  if (value !== undefined && value !== '') return value;
  if (optional === true) return undefined;
  throw new ConfigError(
    `environment variable key ${JSON.stringify(key)} not found in file ${JSON.stringify(path)} of volume ${volumeName}`,
  );
}

/** Variables of the services of the pod's namespace, and always of default/kubernetes. */
export function serviceEnv(pod: Pod, services: readonly Service[]): Map<string, string> {
  const env = new Map<string, string>();
  const links = pod.spec.enableServiceLinks !== false;
  const chosen = services.filter((service) => {
    const { name, namespace } = service.metadata;
    const ip = service.spec?.clusterIP;
    if (ip === undefined || ip === '' || ip === 'None') return false;
    if (namespace === 'default' && name === 'kubernetes') return true;
    return links && namespace === pod.metadata.namespace;
  });
  // Own services come last: one named `kubernetes` in the pod's namespace wins.
  const own = (s: Service) => (s.metadata.namespace === pod.metadata.namespace ? 1 : 0);
  for (const service of chosen.toSorted((a, b) => own(a) - own(b))) addService(env, service);
  return env;
}

const variableName = (text: string) => text.toUpperCase().replaceAll('-', '_');

function addService(env: Map<string, string>, service: Service): void {
  const prefix = variableName(service.metadata.name);
  const ip = service.spec?.clusterIP ?? '';
  const host = ip.includes(':') ? `[${ip}]` : ip;
  const ports = service.spec?.ports ?? [];
  const first = ports[0];
  if (first === undefined) return;
  env.set(`${prefix}_SERVICE_HOST`, ip);
  env.set(`${prefix}_SERVICE_PORT`, String(first.port));
  for (const port of ports) {
    if (port.name === undefined || port.name === '') continue;
    env.set(`${prefix}_SERVICE_PORT_${variableName(port.name)}`, String(port.port));
  }
  const url = (port: (typeof ports)[number]) =>
    `${(port.protocol ?? 'TCP').toLowerCase()}://${host}:${port.port}`;
  env.set(`${prefix}_PORT`, url(first));
  for (const port of ports) {
    const protocol = port.protocol ?? 'TCP';
    const name = `${prefix}_PORT_${port.port}_${protocol.toUpperCase()}`;
    env.set(name, url(port));
    env.set(`${name}_PROTO`, protocol.toLowerCase());
    env.set(`${name}_PORT`, String(port.port));
    env.set(`${name}_ADDR`, ip);
  }
}
