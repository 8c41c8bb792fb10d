/** Every mutant of the sources under test, with what tells it from others. */
import { createHash } from 'node:crypto';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Mutant, mutantsOf } from './mutants.ts';
import { ROOT } from './run-suite.ts';
import type { Survivor } from './survivors.ts';

const SOURCES = ['control/raft/*.ts', 'control/store/wal/*.ts'];

export interface Subject extends Mutant {
  /** Below the root. */
  readonly file: string;
  /** Within mutantsOf the file. */
  readonly index: number;
  readonly line: number;
  readonly change: string;
  /** Of source and mutant: what was found out holds as long as it is the same. */
  readonly id: string;
}

export function sourceFiles(): string[] {
  const files = SOURCES.flatMap((pattern) => globSync(pattern, { cwd: ROOT }));
  return files.filter((file) => !file.endsWith('.test.ts')).toSorted();
}

export function subjectsOf(file: string): Subject[] {
  const source = readFileSync(join(ROOT, file), 'utf8');
  return mutantsOf(source).map((mutant, index) => ({
    ...mutant,
    file,
    index,
    line: source.slice(0, mutant.start).split('\n').length,
    change: changeOf(source, mutant),
    id: createHash('sha256')
      .update(JSON.stringify([file, source, mutant.start, mutant.end, mutant.replacement]))
      .digest('hex')
      .slice(0, 16),
  }));
}

/** The line of the mutant, with `[original -> replacement]` in it: `if (a [< -> <=] b) {`. */
export function changeOf(source: string, { start, end, replacement }: Mutant): string {
  const original = source.slice(start, end);
  const [first = '', ...more] = original.split('\n');
  const before = source.slice(source.lastIndexOf('\n', start - 1) + 1, start);
  const behind = more.length > 0 ? '' : (source.slice(end).split('\n')[0] ?? '');
  const short = first + (more.length > 0 ? ' ...' : '');
  return `${before}[${short} -> ${replacement}]${behind}`.trim().replaceAll(/\s+/g, ' ');
}

/** Each survivor that is explained, with its explanation. An explanation is for so many as it says. */
export function explain(
  subjects: readonly Subject[],
  survivors: readonly Survivor[],
): Map<Subject, Survivor> {
  const left = survivors.map(({ times = 1 }) => times);
  const explained = new Map<Subject, Survivor>();
  for (const subject of subjects) {
    const at = survivors.findIndex(
      ({ file, within, change }, number) =>
        file === subject.file &&
        within === subject.within &&
        change === subject.change &&
        (left[number] ?? 0) > 0,
    );
    const survivor = survivors[at];
    if (survivor === undefined) continue;
    left[at] = (left[at] ?? 0) - 1;
    explained.set(subject, survivor);
  }
  return explained;
}
