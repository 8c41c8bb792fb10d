import t from 'tap';
import { lineDiff } from './diff.ts';

const rows = [
  { name: 'nothing for equal texts', before: 'a\nb\n', after: 'a\nb\n', diff: '' },
  { name: 'a changed line', before: 'a\nb\nc\n', after: 'a\nx\nc\n', diff: '- b\n+ x\n' },
  { name: 'a new text', before: '', after: 'a\n', diff: '+ a\n' },
  { name: 'removed lines', before: 'a\nb\n', after: 'b\n', diff: '- a\n' },
] as const;
for (const c of rows) {
  t.test(`lineDiff() shows ${c.name}`, async (t) => {
    t.equal(lineDiff(c.before, c.after), c.diff);
  });
}
