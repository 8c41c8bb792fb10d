/** Every known bug of the core has its named test, and every topic its scenario (known-bugs.ts). */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { KNOWN_BUGS, TOPICS } from './known-bugs.ts';

const HERE = import.meta.dirname;

t.test('known bugs of the core have a test of their name', (t) => {
  const files = readdirSync(HERE).filter((name) => /^bugs-.*\.test\.ts$/.test(name));
  const text = files.map((name) => readFileSync(join(HERE, name), 'utf8')).join('\n');
  t.equal(Object.keys(KNOWN_BUGS).length, 26);
  for (const [number, { what, places }] of Object.entries(KNOWN_BUGS)) {
    const isTested = text.includes(`'raft bug ${number}: `);
    t.equal(isTested, places.includes('core'), `${number}: ${what}`);
  }
  t.end();
});

t.test('topics have a scenario that shows something', (t) => {
  t.equal(Object.values(TOPICS).flat().length, 41);
  for (const [folder, names] of Object.entries(TOPICS)) {
    for (const name of names) {
      const text = readFileSync(join(HERE, 'testdata', folder, `${name}.txt`), 'utf8');
      t.match(text, /^ {2}\S/m, name);
    }
  }
  t.end();
});
