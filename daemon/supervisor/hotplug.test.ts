/** parseUevent() and Hotplug: which modules a uevent leads to, one at a time. */
import t from 'tap';
import { silentLog } from '#base/log.ts';
import { parseUevent } from './devices.ts';
import { Hotplug } from './hotplug.ts';

const uevent = (head: string, fields: Record<string, string>) =>
  Buffer.from(
    [head, ...Object.entries(fields).map(([key, value]) => `${key}=${value}`)].join('\0') + '\0',
  );

const NIC = { ACTION: 'add', SUBSYSTEM: 'pci', MODALIAS: 'pci:v00008086d0000100E' };

t.test('parseUevent() reads the kernel and not udev', async (t) => {
  const bytes = uevent('add@/devices/pci0000:00/0000:00:05.0', { ...NIC, EMPTY: '', A: 'b=c' });
  t.same(Object.fromEntries(parseUevent(bytes) ?? []), { ...NIC, EMPTY: '', A: 'b=c' });
  t.equal(parseUevent(uevent('libudev', { ACTION: 'add' })), undefined);
  t.equal(parseUevent(Buffer.from('a@b')), undefined);
  t.equal(parseUevent(Buffer.alloc(0)), undefined);
});

function scene(devices: string[] = []) {
  const loaded: string[] = [];
  let running = 0;
  let inputs = 0;
  let blocks = 0;
  const hotplug = new Hotplug({
    open: () => ({
      loadForInBackground: async (alias) => {
        running++;
        if (running > 1) throw new Error('two at a time');
        await Promise.resolve();
        loaded.push(alias);
        running--;
      },
    }),
    devices: async function* () {
      yield* devices;
    },
    onInput: () => inputs++,
    onBlock: () => blocks++,
    log: silentLog,
  });
  return { hotplug, loaded, devices, counts: () => ({ inputs, blocks }) };
}

t.test('Hotplug loads what comes, after what is there', async (t) => {
  const { hotplug, loaded, counts } = scene(['pci:here']);
  const started = hotplug.start();
  const bytes = uevent('add@/devices/a', NIC);
  hotplug.onNotice({ kind: 'uevent', bytes });
  hotplug.onNotice({ kind: 'uevent', bytes });
  await started;
  t.same(loaded, ['pci:here', NIC.MODALIAS], 'once');
  const others = [
    uevent('remove@/devices/a', { ...NIC, ACTION: 'remove' }),
    uevent('add@/devices/b', { ACTION: 'add', SUBSYSTEM: 'block' }),
    uevent('add@/devices/c', { ACTION: 'add', SUBSYSTEM: 'input', MODALIAS: '' }),
  ];
  for (const other of others) hotplug.onNotice({ kind: 'uevent', bytes: other });
  t.equal(loaded.length, 2);
  t.same(counts(), { inputs: 1, blocks: 1 });
});

t.test('Hotplug looks at everything when word was lost', async (t) => {
  const { hotplug, loaded, devices } = scene();
  await hotplug.start();
  t.same(loaded, []);
  devices.push('pci:missed');
  hotplug.onNotice({ kind: 'lost' });
  await hotplug.start();
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
  t.same(loaded, ['pci:missed']);
});
