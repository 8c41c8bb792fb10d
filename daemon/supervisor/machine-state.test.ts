/** MachineState: what waits for the next boot, and damaged files. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { MachineState } from './machine-state.ts';

function scratch(t: Test): { dir: string; state: MachineState } {
  const dir = mkdtempSync(join(tmpdir(), 'bareboat-state-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  return { dir, state: new MachineState(dir) };
}

t.test('saveNext changes nothing before promoteNext', async (t) => {
  const { state } = scratch(t);
  state.save('a: 1\n', undefined);
  state.saveNext('a: 2\n', undefined);
  t.equal(state.configText(), 'a: 1\n');
  state.promoteNext();
  t.equal(state.configText(), 'a: 2\n');
  state.promoteNext();
  t.equal(state.configText(), 'a: 2\n', 'once');
});

t.test('save drops what waited for the next boot', async (t) => {
  const { state } = scratch(t);
  state.saveNext('a: 2\n', undefined);
  state.save('a: 3\n', undefined);
  state.promoteNext();
  t.equal(state.configText(), 'a: 3\n');
});

for (const text of ['node: {nmae: a}\n', 'node: [\n', '']) {
  t.test(`config is a problem, not an exception: ${JSON.stringify(text)}`, async (t) => {
    const { dir, state } = scratch(t);
    t.equal(state.problem, undefined);
    writeFileSync(join(dir, 'config.yaml'), text);
    t.equal(state.config(), undefined);
    t.match(state.problem, /^config\.yaml is damaged: /);
    t.equal(readFileSync(join(dir, 'config.yaml'), 'utf8'), text, 'kept');
  });
}
