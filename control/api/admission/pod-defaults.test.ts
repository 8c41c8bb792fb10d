/** DefaultTolerationSeconds: which requests it completes, and with what. */
import t from 'tap';
import type { AdmissionRequest } from '../registry/admission.ts';
import type { ServedResource } from '../registry/served-resource.ts';
import { DefaultTolerationSeconds } from './pod-defaults.ts';

// The plugin only compares them.
const pods = {} as ServedResource;
const others = {} as ServedResource;

const NOT_READY = 'node.kubernetes.io/not-ready';
const UNREACHABLE = 'node.kubernetes.io/unreachable';

t.test('DefaultTolerationSeconds', async (t) => {
  const rows = [
    { name: 'new pod', own: [], keys: [NOT_READY, UNREACHABLE] },
    { name: 'update', operation: 'UPDATE', own: ['a'], keys: ['a', NOT_READY, UNREACHABLE] },
    { name: 'has one', own: [UNREACHABLE], keys: [UNREACHABLE, NOT_READY] },
    { name: 'tolerates all', own: [''], keys: [''] },
    { name: 'status', operation: 'UPDATE', subresource: 'status', own: ['a'], keys: ['a'] },
    { name: 'other resource', resource: others, own: ['a'], keys: ['a'] },
  ] as const;
  for (const row of rows) {
    const {
      operation = 'CREATE',
      subresource = '',
      resource = pods,
      own,
      keys,
    } = {
      operation: undefined,
      subresource: undefined,
      resource: undefined,
      ...row,
    };
    const tolerations = own.map((key) => ({ key, operator: 'Exists', effect: 'NoExecute' }));
    const object = { apiVersion: 'v1', kind: 'Pod', metadata: {}, spec: { tolerations } };
    const request = { operation, subresource, resource, object, namespace: 'n', name: 'p' };
    new DefaultTolerationSeconds({ pods }).mutate(request as unknown as AdmissionRequest); // Enough.
    t.same(
      object.spec.tolerations.map(({ key }) => key),
      keys,
      row.name,
    );
  }
});
