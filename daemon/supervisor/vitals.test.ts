/** Vital signs: when the watchdog is fed, when the gateway is started anew, and what counts as an answer. */
import { once } from 'node:events';
import { createServer as createTcpServer, type AddressInfo, type Server } from 'node:net';
import { createServer } from 'node:tls';
import t from 'tap';
import { RealClock } from '#base/clock.ts';
import { createCa } from '#base/pki/pki.ts';
import { answersTls, failedSigns, SILENCE_MS_MAX, Vitals } from './vitals.ts';

const rows = [
  { name: 'all have answered', disk: undefined, gateway: undefined, failed: [] },
  { name: 'a save is under way', disk: 0, gateway: undefined, failed: [] },
  { name: 'the disk hangs', disk: -1, gateway: undefined, failed: ['disk'] },
  { name: 'the gateway hangs', disk: undefined, gateway: -1, failed: ['gateway'] },
  { name: 'both hang', disk: -1, gateway: -2, failed: ['disk', 'gateway'] },
];
for (const { name, disk, gateway, failed } of rows) {
  t.test(`failedSigns() when ${name}`, async (t) => {
    const signs = [
      { name: 'disk', silentSinceMs: disk },
      { name: 'gateway', silentSinceMs: gateway },
    ];
    t.same(failedSigns(signs, SILENCE_MS_MAX), failed);
  });
}

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port; // Of TCP.
}

t.test('answersTls() wants a handshake, not a connection', async (t) => {
  const { certificate: cert, key } = await createCa({
    commonName: 'x',
    nowMs: Date.now(),
    lifetimeMs: 3_600_000,
  });
  const options = { cert, key, minVersion: 'TLSv1.3', requestCert: true } as const;
  const tls = createServer({ ...options, rejectUnauthorized: true });
  tls.on('tlsClientError', () => {});
  t.ok(await answersTls(await listen(tls), 5000), 'also one that asks for a certificate');
  tls.close();
  const silent = createTcpServer(() => {});
  const port = await listen(silent);
  t.notOk(await answersTls(port, 100), 'a process that hangs takes connections all the same');
  silent.close();
  t.notOk(await answersTls(1, 5000), 'nobody there');
});

t.test('Vitals feeds at once, saves at once, and tells a failed save once', async (t) => {
  const told: string[] = [];
  let fed = 0;
  const saved = Promise.withResolvers<void>();
  using vitals = new Vitals({
    clock: new RealClock(),
    events: { add: (source, message) => told.push(`${source}: ${message}`) },
    watchdog: { timeoutSeconds: 60, hasReset: false, feed: () => fed++ },
    save: () => saved.promise,
    gatewayPort: () => undefined,
    restartGateway: () => t.fail('restarted'),
  });
  t.equal(fed, 1);
  t.type(vitals.signs[0]?.silentSinceMs, 'number', 'the disk is asked');
  saved.reject(new Error('no space'));
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
  t.equal(vitals.signs[0]?.silentSinceMs, undefined, 'an error is an answer');
  t.same(told, ['disk: the time was not saved: no space']);
});
