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

const allowed = [
  [caller('reader'), 'Machine.GetStatus', 'supervisor'],
  [caller('operator'), 'Images.Import', 'agent'],
  [caller('admin'), 'Machine.ApplyConfig', 'supervisor'],
  [caller(undefined, true), 'Machine.ApplyConfig', 'supervisor'],
] as const;
for (const [who, what, backend] of allowed) {
  t.test(
    `authorize() lets ${who.maintenance ? 'anybody in maintenance' : who.role} call ${what}`,
    async (t) => {
      t.equal(authorize(who, call(what)), backend);
    },
  );
}

const refused = [
  [caller('reader'), 'Machine.Reboot', 'PERMISSION_DENIED', /needs role operator, ann is reader/],
  [caller('operator'), 'Machine.GetKubeconfig', 'PERMISSION_DENIED', /needs role admin/],
  [caller(undefined), 'Machine.GetStatus', 'PERMISSION_DENIED', /no bareboat role/],
  [caller(undefined, true), 'Machine.GetKubeconfig', 'FAILED_PRECONDITION', /maintenance/],
  [caller(undefined, true), 'Images.Import', 'FAILED_PRECONDITION', /maintenance/],
  [caller('admin'), 'Machine.Format', 'UNIMPLEMENTED', /Machine.Format/],
  [caller('admin'), '__proto__.constructor', 'UNIMPLEMENTED', /no method/],
] as const;
for (const [who, what, code, message] of refused) {
  t.test(`authorize() refuses ${what} to ${who.role ?? 'nobody'}`, async (t) => {
    t.throws(() => authorize(who, call(what)), { code, message });
  });
}

t.test('roleOf() takes the greatest role', async (t) => {
  t.equal(roleOf(['x', 'bareboat:reader', 'bareboat:admin']), 'admin');
  t.equal(roleOf(['system:masters']), undefined);
});
