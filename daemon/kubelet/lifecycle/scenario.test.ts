/** Runs the texts of testdata/; `--update` rewrites them (read the diff). */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { PodBox } from './scenario.ts';

const directory = join(import.meta.dirname, 'testdata');
const update = process.argv.includes('--update');

function replay(text: string): string {
  const box = new PodBox();
  const out: string[] = [];
  for (const line of text.split('\n')) {
    if (line.startsWith('#')) out.push(line);
    if (!line.startsWith('> ')) continue;
    out.push(line, ...box.command(line.slice(2)).map((l) => `  ${l}`));
  }
  return `${out.join('\n')}\n`;
}

const files = readdirSync(directory).filter((f) => f.endsWith('.txt'));
t.ok(files.length > 15, 'scenarios are there');
for (const file of files) {
  const path = join(directory, file);
  const text = readFileSync(path, 'utf8');
  const got = replay(text);
  if (update) writeFileSync(path, got);
  t.equal(got, update ? got : text, file);
}
