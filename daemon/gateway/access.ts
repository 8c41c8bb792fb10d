/**
 * Who may call what on the machine API, decided purely. Roles come from the organization of the client's
 * certificate, signed by the machine CA: admin includes operator includes reader. In maintenance nobody has
 * a certificate yet; then only what leads out of it is allowed.
 */
import { Images, Machine, Store } from '#base/protocol/bareboat.gen.ts';
import type { CallTarget } from '#base/protocol/frames.ts';
import { ProtocolError } from '#base/protocol/frames.ts';
import type { Role } from '#base/protocol/protocol.ts';

/** A process of this node that serves calls. */
export type Backend = 'supervisor' | 'agent' | 'control';

export interface Caller {
  /** Common name of the certificate, or `maintenance`. */
  readonly name: string;
  readonly role: Role | undefined;
  readonly maintenance: boolean;
}

interface MethodFacts {
  readonly role: Role;
}

/** The process that serves each service. */
const BACKENDS: Readonly<Record<string, Backend>> = {
  Machine: 'supervisor',
  Images: 'agent',
  Store: 'control',
};

const METHODS: Readonly<Record<string, Readonly<Record<string, MethodFacts>>>> = {
  Machine,
  Images,
  Store,
};

const IN_MAINTENANCE = new Set(['GetVersion', 'GetStatus', 'WatchEvents', 'ApplyConfig']);
const RANK: Readonly<Record<Role, number>> = { reader: 1, operator: 2, admin: 3 };

/** The greatest role among the organizations of a certificate: `bareboat:admin` and so on. */
export function roleOf(organizations: readonly string[]): Role | undefined {
  const roles = (['admin', 'operator', 'reader'] as const).filter((role) =>
    organizations.includes(`bareboat:${role}`),
  );
  return roles[0];
}

/** The process to forward to. Throws ProtocolError when the call is unknown or not allowed. */
export function authorize(caller: Caller, target: CallTarget): Backend {
  const methods = own(METHODS, target.service) ?? {};
  const method = own(methods, target.method);
  const backend = own(BACKENDS, target.service);
  if (method === undefined || backend === undefined) {
    throw new ProtocolError('UNIMPLEMENTED', `no method ${target.service}.${target.method} here`);
  }
  if (caller.maintenance) {
    if (target.service === 'Machine' && IN_MAINTENANCE.has(target.method)) return backend;
    throw new ProtocolError(
      'FAILED_PRECONDITION',
      `${target.service}.${target.method} needs a configured machine: this one is in maintenance mode`,
    );
  }
  if (caller.role === undefined) {
    throw new ProtocolError(
      'PERMISSION_DENIED',
      `certificate of ${caller.name} carries no bareboat role`,
    );
  }
  if (RANK[caller.role] < RANK[method.role]) {
    throw new ProtocolError(
      'PERMISSION_DENIED',
      `${target.service}.${target.method} needs role ${method.role}, ${caller.name} is ${caller.role}`,
    );
  }
  return backend;
}

/** Names come from strangers: what every object inherits is no service. */
function own<T>(record: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}
