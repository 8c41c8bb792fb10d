import t from 'tap';
import { applyMarkerDefaults } from './defaults.ts';
import { decodeJson } from './json-codec.ts';

function defaulted(gvk: { group: string; version: string; kind: string }, body: unknown): unknown {
  const { object } = decodeJson(JSON.stringify(body), { defaults: gvk });
  const before = JSON.stringify(object);
  const result = applyMarkerDefaults(gvk, object);
  t.equal(JSON.stringify(object), before, 'the object itself is as before');
  return JSON.parse(JSON.stringify(result));
}

await t.test('applyMarkerDefaults() fills what is unset, in field order', async (t) => {
  const pod = { group: '', version: 'v1', kind: 'Pod' };
  const containers = [
    { name: 'a', ports: [{ containerPort: 80 }, { containerPort: 81, protocol: 'UDP' }] },
    { name: 'b', livenessProbe: { grpc: { port: 1 } } },
  ];
  const result = defaulted(pod, { spec: { containers } });
  t.equal(
    JSON.stringify((result as { spec: unknown }).spec),
    JSON.stringify({
      containers: [
        {
          name: 'a',
          ports: [
            { containerPort: 80, protocol: 'TCP' },
            { containerPort: 81, protocol: 'UDP' },
          ],
          resources: {},
        },
        { name: 'b', resources: {}, livenessProbe: { grpc: { port: 1, service: '' } } },
      ],
    }),
  );
  const service = { group: '', version: 'v1', kind: 'Service' };
  t.match(defaulted(service, { spec: { ports: [{ port: 1 }] } }), {
    spec: { ports: [{ protocol: 'TCP', port: 1, targetPort: 0 }] },
  });
});

await t.test('applyMarkerDefaults() returns the same object when nothing changes', async (t) => {
  const gvk = { group: '', version: 'v1', kind: 'ConfigMap' };
  const object = { kind: 'ConfigMap', apiVersion: 'v1', metadata: {} };
  t.equal(applyMarkerDefaults(gvk, object), object);
});
