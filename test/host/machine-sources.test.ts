/**
 * A machine in namespaces of this host that gets its first configuration by itself: from its kernel's command
 * line, with the secrets from a server that comes late.
 */
import { readFileSync } from 'node:fs';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { join } from 'node:path';
import t from 'tap';
import { eventually } from '#test/vm/operator.ts';
import { INSIDE, OUTSIDE } from './machine-host.ts';
import { MachineScene } from './machine-scene.ts';

if (process.getuid?.() !== 0) {
  t.plan(0, 'a machine in namespaces needs root');
  process.exit(0);
}
t.setTimeout(200_000);

const scene = await MachineScene.open();
const { machine, operator } = scene;

t.teardown(async () => {
  if (!t.passing()) t.comment(machine.console());
  await scene[Symbol.asyncDispose]();
});

t.test('a machine configures itself as its kernel was told', async (t) => {
  await scene.init();
  const port = 8000;
  const address = '10.99.0.7';
  const links = [{ name: 'eth0', dhcp: false, addresses: [`${address}/24`], gateway: OUTSIDE }];
  const config = scene.configWith({ node: { name: 'inline' }, network: { links } });
  const inline = Buffer.from(config).toString('base64');
  const url = `http://${OUTSIDE}:${port}/secrets.yaml`;
  await scene.start(`bareboat.config=${inline} bareboat.secrets=${url}`);
  t.match(machine.console(), /maintenance mode: /);
  t.match(machine.ip('addr', 'show', 'eth0'), `inet ${address}/24`, 'its network is used already');
  t.notMatch(machine.ip('addr', 'show', 'eth0'), `inet ${INSIDE}/24`, 'and no lease');
  const server = createServer((request, response) => {
    response.statusCode = request.url === '/secrets.yaml' ? 200 : 404;
    response.end(readFileSync(join(scene.dir, 'secrets.yaml')));
  });
  server.listen(port, OUTSIDE);
  await once(server, 'listening');
  const at = ['--endpoint', `${address}:50000`];
  const status = await eventually('the machine knows its operator', 60_000, async () =>
    JSON.parse(await operator.bareboat(...at, 'status', '-o', 'json')),
  );
  t.equal(status.nodeName, 'inline');
  t.match(await operator.bareboat(...at, 'events'), /config: applied, from kernel command line/);
  server.close();
});
