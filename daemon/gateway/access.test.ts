import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import protobuf from 'protobufjs';
import t from 'tap';
import { authorize, type Caller, roleOf } from './access.ts';

const caller = (role: Caller['role'], maintenance = false): Caller => ({
  name: 'ann',
  role,
  maintenance,
});
const call = (text: string) => {
  const [service = '', method = ''] = text.split('.');
  return { service, method };
};

/** Every method that the gateway forwards, with the least role that may call it, as the .proto says. */
function methodsOfProto(): { name: string; role: string; anybody: boolean }[] {
  const root = dirname(dirname(import.meta.dirname));
  const text = readFileSync(join(root, 'base/protocol/bareboat.proto'), 'utf8');
  const parsed = protobuf.parse(text, { alternateCommentMode: true });
  const found = parsed.root.lookup('bareboat.v1') as protobuf.Namespace; // The file's package.
  return found.nestedArray
    .filter((member) => member instanceof protobuf.Service)
    .filter(({ comment }) => !/the gateway does not forward it/.test(comment ?? ''))
    .flatMap((service) =>
      service.methodsArray.map((method) => ({
        name: `${service.name}.${method.name}`,
        role: /role: (\w+)/.exec(method.comment ?? '')?.[1] ?? 'none',
        anybody: /In maintenance mode anybody may call it/.test(method.comment ?? ''),
      })),
    );
}

const BACKENDS: Readonly<Record<string, string>> = {
  Machine: 'supervisor',
  Images: 'agent',
  Store: 'control',
};

const RANKS = ['reader', 'operator', 'admin'] as const;
const methods = methodsOfProto();

t.test('the .proto names a role for every method', async (t) => {
  t.equal(methods.length, 23);
  for (const { name, role } of methods)
    t.ok(
      RANKS.some((rank) => rank === role),
      name,
    );
});

for (const { name, role: least, anybody } of methods) {
  const backend = BACKENDS[name.split('.')[0] ?? ''];
  for (const role of RANKS) {
    const allowed = RANKS.indexOf(role) >= RANKS.findIndex((rank) => rank === least);
    t.test(`authorize() ${allowed ? 'lets' : 'does not let'} ${role} call ${name}`, async (t) => {
      if (allowed) t.equal(authorize(caller(role), call(name)), backend);
      else {
        t.throws(() => authorize(caller(role), call(name)), {
          code: 'PERMISSION_DENIED',
          message: `${name} needs role ${least}, ann is ${role}`,
        });
      }
    });
  }
  t.test(`authorize() lets nobody without a role call ${name}`, async (t) => {
    t.throws(() => authorize(caller(undefined), call(name)), {
      code: 'PERMISSION_DENIED',
      message: /no bareboat role/,
    });
  });
  t.test(
    `authorize() in maintenance ${anybody ? 'lets anybody' : 'refuses to'} call ${name}`,
    async (t) => {
      const stranger = caller(undefined, true);
      if (anybody) t.equal(authorize(stranger, call(name)), backend);
      else {
        t.throws(() => authorize(stranger, call(name)), {
          code: 'FAILED_PRECONDITION',
          message: /maintenance/,
        });
      }
    },
  );
}

const UNKNOWN = ['Machine.Format', 'Disks.List', '__proto__.constructor', 'Machine.toString'];
for (const what of [...UNKNOWN, 'Pods.End']) {
  t.test(`authorize() knows no ${what}`, async (t) => {
    t.throws(() => authorize(caller('admin'), call(what)), {
      code: 'UNIMPLEMENTED',
      message: `no method ${what} here`,
    });
  });
}

t.test('roleOf() takes the greatest role', async (t) => {
  t.equal(roleOf(['x', 'bareboat:reader', 'bareboat:admin']), 'admin');
  t.equal(roleOf(['bareboat:operator', 'bareboat:reader']), 'operator');
  t.equal(roleOf(['system:masters', 'admin', 'bareboat:owner']), undefined);
});
