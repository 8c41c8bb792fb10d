/**
 * Rules on the containers of a pod: what all share, and what ordinary, init and ephemeral ones may set.
 * Source: kubernetes v1.36.3 pkg/apis/core/validation.
 */
import type {
  Container,
  ContainerPort,
  ContainerRestartRule,
  EphemeralContainer,
  PodSpec,
  Volume,
} from '#base/kube/api/core-v1.gen.ts';
import { validateEnv, validateEnvFrom } from './container-env.ts';
import { validateDevices, validateMounts } from './container-mounts.ts';
import type { FieldErrors } from './field-errors.ts';
import { checkDnsLabel, checkPortName, checkPortNumber } from './formats.ts';
import { given } from './given.ts';
import { validateContainerResources } from './pod-resources.ts';
import { validatePullPolicy } from './pod-volumes.ts';
import { PROBE_KINDS, validateLifecycle, validateProbe } from './probes.ts';
import { validateSecurityContext } from './security-contexts.ts';

/** What rules on containers need to know of their pod. */
export interface ContainerContext {
  readonly spec: PodSpec;
  readonly volumes: ReadonlyMap<string, Volume>;
  readonly claimNames: ReadonlySet<string>;
}

const PROTOCOLS = ['SCTP', 'TCP', 'UDP'];
const RESTART_POLICIES = ['Always', 'Never', 'OnFailure'];

export function validateContainers(e: FieldErrors, path: string, context: ContainerContext): void {
  const containers = context.spec.containers ?? [];
  if (containers.length === 0) return e.required(path);
  const names = new Set<string>();
  for (const [i, container] of containers.entries()) {
    const at = `${path}[${i}]`;
    validateContainer(e, at, container, context);
    if (names.has(container.name)) e.duplicate(`${at}.name`, container.name);
    names.add(container.name);
    validateHooks(e, at, container, context);
    validateRestart(e, at, container);
  }
  validateHostPorts(e, path, containers);
}

function validateHooks(
  e: FieldErrors,
  at: string,
  container: Container,
  context: ContainerContext,
): void {
  if (container.lifecycle !== undefined) {
    validateLifecycle(e, `${at}.lifecycle`, container.lifecycle, {
      os: context.spec.os,
      graceSeconds: context.spec.terminationGracePeriodSeconds,
    });
  }
  for (const kind of PROBE_KINDS) {
    const probe = container[kind];
    if (probe !== undefined) validateProbe(e, `${at}.${kind}`, probe, kind);
  }
}

export function validateInitContainers(
  e: FieldErrors,
  path: string,
  context: ContainerContext,
): void {
  const names = new Set((context.spec.containers ?? []).map(({ name }) => name));
  for (const [i, container] of (context.spec.initContainers ?? []).entries()) {
    const at = `${path}[${i}]`;
    validateContainer(e, at, container, context);
    validateRestart(e, at, container);
    if (names.has(container.name)) e.duplicate(`${at}.name`, container.name);
    else if ((container.name ?? '') !== '') names.add(container.name);
    validateHostPorts(e, path, [container]);
    if (container.restartPolicy === 'Always') validateHooks(e, at, container, context);
    else validateInitOnly(e, at, container);
  }
}

function validateInitOnly(e: FieldErrors, at: string, container: Container): void {
  for (const field of ['lifecycle', ...PROBE_KINDS] as const) {
    if (container[field] !== undefined) {
      const detail = 'may not be set for init containers without restartPolicy=Always';
      e.forbidden(`${at}.${field}`, detail);
    }
  }
  for (const [i, policy] of (container.resizePolicy ?? []).entries()) {
    if (policy.restartPolicy === 'RestartContainer') {
      e.invalid(
        `${at}.resizePolicy[${i}].restartPolicy`,
        policy.restartPolicy,
        "must not be set to 'RestartContainer' for non-sidecar initContainers",
      );
    }
  }
}

/** Fields an ephemeral container may have; it is a visitor and cannot claim ports or resources. */
const EPHEMERAL_FIELDS = new Set([
  'name',
  'image',
  'command',
  'args',
  'workingDir',
  'envFrom',
  'env',
  'volumeMounts',
  'volumeDevices',
  'terminationMessagePath',
  'terminationMessagePolicy',
  'imagePullPolicy',
  'securityContext',
  'stdin',
  'stdinOnce',
  'tty',
  'targetContainerName',
]);
const FORBIDDEN_ORDER: readonly (keyof EphemeralContainer)[] = [
  'ports',
  'resources',
  'resizePolicy',
  'restartPolicy',
  'restartPolicyRules',
  'livenessProbe',
  'readinessProbe',
  'startupProbe',
  'lifecycle',
];

export function validateEphemeralContainers(
  e: FieldErrors,
  path: string,
  context: ContainerContext,
): void {
  const { spec } = context;
  const others = new Set(
    [...(spec.containers ?? []), ...(spec.initContainers ?? [])].map(({ name }) => name),
  );
  const names = new Set(others);
  const detail = 'cannot be set for an Ephemeral Container';
  for (const [i, container] of (spec.ephemeralContainers ?? []).entries()) {
    const at = `${path}[${i}]`;
    validateContainer(e, at, container, context);
    validateImagePadding(e, at, container);
    if (names.has(container.name)) e.duplicate(`${at}.name`, container.name);
    names.add(container.name);
    const target = container.targetContainerName ?? '';
    if (target !== '' && !others.has(target)) e.notFound(`${at}.targetContainerName`, target);
    for (const field of FORBIDDEN_ORDER) {
      if (!EPHEMERAL_FIELDS.has(field) && isSet(container[field]))
        e.forbidden(`${at}.${field}`, detail);
    }
    for (const [j, mount] of (container.volumeMounts ?? []).entries()) {
      for (const field of ['subPath', 'subPathExpr'] as const) {
        if ((mount[field] ?? '') !== '') e.forbidden(`${at}.volumeMounts[${j}].${field}`, detail);
      }
    }
  }
}

function isSet(value: unknown): boolean {
  if (value === undefined) return false;
  return typeof value !== 'object' || Object.keys(value ?? {}).length > 0;
}

export function validateImagePadding(
  e: FieldErrors,
  at: string,
  container: { image?: string | undefined },
): void {
  const image = container.image ?? '';
  if (image.trim() !== image) {
    e.invalid(`${at}.image`, image, 'must not have leading or trailing whitespace');
  }
}

function validateContainer(
  e: FieldErrors,
  at: string,
  container: Container | EphemeralContainer,
  context: ContainerContext,
): void {
  const name = container.name ?? '';
  if (name === '') e.required(`${at}.name`);
  else e.invalidEach(`${at}.name`, name, checkDnsLabel(name));
  if ((container.image ?? '') === '') e.required(`${at}.image`);
  const policy = container.terminationMessagePolicy ?? '';
  const policies = ['File', 'FallbackToLogsOnError'];
  if (policy === '') e.required(`${at}.terminationMessagePolicy`);
  else if (!policies.includes(policy)) {
    e.notSupported(`${at}.terminationMessagePolicy`, policy, policies);
  }
  validatePorts(e, `${at}.ports`, container.ports ?? []);
  validateEnv(e, `${at}.env`, container.env ?? []);
  validateEnvFrom(e, `${at}.envFrom`, container.envFrom ?? []);
  validateMounts(e, at, container, context.volumes);
  validateDevices(e, at, container, context.volumes);
  validatePullPolicy(e, `${at}.imagePullPolicy`, container.imagePullPolicy);
  validateContainerResources(e, `${at}.resources`, container.resources, context.claimNames);
  validateResizePolicy(e, `${at}.resizePolicy`, container, context.spec);
  validateSecurityContext(e, `${at}.securityContext`, container.securityContext, {
    hostUsers: context.spec.hostUsers !== false,
  });
}

function validatePorts(e: FieldErrors, path: string, ports: readonly ContainerPort[]): void {
  const names = new Set<string>();
  for (const [i, port] of ports.entries()) {
    const { name = '', containerPort = 0, hostPort = 0, protocol = '' } = given(port);
    const messages = name === '' ? [] : checkPortName(name);
    const at = `${path}[${i}]`;
    e.invalidEach(`${at}.name`, name, messages);
    if (name !== '' && messages.length === 0) {
      if (names.has(name)) e.duplicate(`${at}.name`, name);
      names.add(name);
    }
    if (containerPort === 0) e.required(`${at}.containerPort`);
    else e.invalidEach(`${at}.containerPort`, containerPort, checkPortNumber(containerPort));
    if (hostPort !== 0) e.invalidEach(`${at}.hostPort`, hostPort, checkPortNumber(hostPort));
    if (protocol === '') e.required(`${at}.protocol`);
    else if (!PROTOCOLS.includes(protocol)) e.notSupported(`${at}.protocol`, protocol, PROTOCOLS);
  }
}

function validateHostPorts(e: FieldErrors, path: string, containers: readonly Container[]): void {
  const taken = new Set<string>();
  for (const [i, container] of containers.entries()) {
    for (const [j, port] of (container.ports ?? []).entries()) {
      if ((port.hostPort ?? 0) === 0) continue;
      const text = `${port.protocol ?? ''}/${port.hostIP ?? ''}/${port.hostPort}`;
      if (taken.has(text)) e.duplicate(`${path}[${i}].ports[${j}].hostPort`, text);
      taken.add(text);
    }
  }
}

function validateResizePolicy(
  e: FieldErrors,
  path: string,
  container: Container | EphemeralContainer,
  spec: PodSpec,
): void {
  const seen = new Set<string>();
  for (const [i, policy] of (container.resizePolicy ?? []).entries()) {
    const { resourceName = '', restartPolicy = '' } = given(policy);
    if (seen.has(resourceName)) e.duplicate(`${path}[${i}]`, resourceName);
    seen.add(resourceName);
    requiredOneOf(e, path, resourceName, ['cpu', 'memory']);
    requiredOneOf(e, path, restartPolicy, ['NotRequired', 'RestartContainer']);
    if (spec.restartPolicy === 'Never' && restartPolicy !== 'NotRequired') {
      const detail = "must be 'NotRequired' when pod `restartPolicy` is 'Never'";
      e.invalid(path, restartPolicy, detail);
    }
  }
}

function requiredOneOf(
  e: FieldErrors,
  field: string,
  value: string,
  supported: readonly string[],
): void {
  if (value === '') e.required(field);
  else if (!supported.includes(value)) e.notSupported(field, value, supported);
}

function validateRestart(e: FieldErrors, at: string, container: Container): void {
  const policy = container.restartPolicy;
  const rules = container.restartPolicyRules ?? [];
  if (policy === undefined) {
    if (rules.length === 0) return;
    e.required(`${at}.restartPolicy`, 'must specify restartPolicy when restart rules are used');
  } else if (!RESTART_POLICIES.includes(policy)) {
    e.notSupported(`${at}.restartPolicy`, policy, RESTART_POLICIES);
  }
  if (rules.length > 20) e.tooMany(`${at}.restartPolicyRules`, rules.length, 20);
  for (const [i, rule] of rules.entries()) validateRule(e, `${at}.restartPolicyRules[${i}]`, rule);
}

function validateRule(e: FieldErrors, at: string, rule: ContainerRestartRule): void {
  const actions = ['Restart', 'RestartAllContainers'];
  const action = rule.action ?? '';
  if (!actions.includes(action)) e.notSupported(`${at}.action`, action, actions);
  if (rule.exitCodes === undefined) return e.required(`${at}.exitCodes`, 'must be specified');
  const operator = rule.exitCodes.operator ?? '';
  if (operator !== 'In' && operator !== 'NotIn') {
    e.notSupported(`${at}.exitCodes.operator`, operator, ['In', 'NotIn']);
  }
  const values = rule.exitCodes.values ?? [];
  if (values.length > 255) e.tooMany(`${at}.exitCodes.values`, values.length, 255);
}
