/**
 * Runs the scenarios of testdata/. `node control/raft/scenario.test.ts --update` writes what happens
 * now into the files; read the diff before committing it.
 */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ChangeScenario } from './testing/change-scenario.ts';
import { GroupScenario } from './testing/group-scenario.ts';
import { QuorumScenario } from './testing/quorum-scenario.ts';

const DIRECTORY = join(import.meta.dirname, 'testdata');
const isUpdate = process.argv.includes('--update');

const KINDS = {
  change: () => new ChangeScenario(),
  group: () => new GroupScenario(),
  quorum: () => new QuorumScenario(),
};

/** The file with the outcome of each command put under it anew. Comments and blanks stay. */
function rerun(text: string, scenario: { run(command: string): string[] }): string {
  const lines: string[] = [];
  for (const line of text.trimEnd().split('\n')) {
    if (line.startsWith('  ')) continue;
    lines.push(line);
    if (line === '' || line.startsWith('#')) continue;
    for (const outcome of scenario.run(line)) lines.push(`  ${outcome}`);
  }
  return `${lines.join('\n')}\n`;
}

for (const [kind, start] of Object.entries(KINDS)) {
  for (const name of readdirSync(join(DIRECTORY, kind)).sort()) {
    t.test(`${kind}/${name}`, (t) => {
      const path = join(DIRECTORY, kind, name);
      const wanted = readFileSync(path, 'utf8');
      const found = rerun(wanted, start());
      if (isUpdate) writeFileSync(path, found);
      else t.equal(found, wanted);
      t.end();
    });
  }
}
