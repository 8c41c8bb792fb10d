import t from 'tap';
import {
  compileLabelSelector,
  LabelMatcher,
  matchesFields,
  parseFieldSelector,
  parseLabelSelector,
  SelectorError,
} from './selectors.ts';

const labelRows: { selector: string; labels: Record<string, string>; want: boolean }[] = [
  { selector: '', labels: { a: 'b' }, want: true },
  { selector: 'a=b', labels: { a: 'b' }, want: true },
  { selector: 'a==b', labels: { a: 'c' }, want: false },
  { selector: 'a!=b', labels: {}, want: true },
  { selector: 'a!=b', labels: { a: 'b' }, want: false },
  { selector: 'a=', labels: { a: '' }, want: true },
  { selector: 'a in (x, y)', labels: { a: 'y' }, want: true },
  { selector: 'a in (x,y),c', labels: { a: 'y' }, want: false },
  { selector: 'a notin (x,y)', labels: { a: 'z' }, want: true },
  { selector: 'a notin (x,y)', labels: {}, want: true },
  { selector: '!a', labels: { b: '' }, want: true },
  { selector: '! a', labels: { a: '' }, want: false },
  { selector: 'app.kubernetes.io/name', labels: { 'app.kubernetes.io/name': 'x' }, want: true },
  { selector: 'n>5', labels: { n: '6' }, want: true },
  { selector: 'n>5', labels: { n: '5' }, want: false },
  { selector: 'n<5,n>2', labels: { n: '3' }, want: true },
  { selector: 'n<5', labels: { n: 'x' }, want: false },
  { selector: 'toString', labels: {}, want: false },
];
for (const row of labelRows) {
  t.test(`parseLabelSelector('${row.selector}') on ${JSON.stringify(row.labels)}`, async (t) => {
    const matcher = parseLabelSelector(row.selector);
    t.equal(matcher.matches(row.labels), row.want);
    t.equal(parseLabelSelector(matcher.toString()).matches(row.labels), row.want);
  });
}

for (const bad of [
  'a in x',
  'a in (x',
  'a=b,',
  ',a',
  'a b',
  '=a',
  'n>x',
  'a/b/c=d',
  'a=b c',
  '()',
]) {
  t.test(`parseLabelSelector('${bad}') is refused`, async (t) => {
    t.throws(() => parseLabelSelector(bad), SelectorError);
  });
}

t.test('compileLabelSelector() absent matches nothing, empty everything', async (t) => {
  t.equal(compileLabelSelector(undefined).matches({}), false);
  t.equal(compileLabelSelector({}).matches({ a: 'b' }), true);
  t.equal(LabelMatcher.everything.isEmpty, true);
  const matcher = compileLabelSelector({
    matchLabels: { a: 'b' },
    matchExpressions: [
      { key: 'c', operator: 'In', values: ['y', 'x'] },
      { key: 'd', operator: 'DoesNotExist' },
    ],
  });
  t.equal(matcher.toString(), 'a=b,c in (x,y),!d');
  t.throws(
    () => compileLabelSelector({ matchExpressions: [{ key: 'c', operator: 'Near' }] }),
    SelectorError,
  );
});

t.test('parseFieldSelector() and matchesFields()', async (t) => {
  const fields: Record<string, string> = { 'metadata.name': 'a,b', 'spec.nodeName': '' };
  const matches = (text: string) => matchesFields(parseFieldSelector(text), (f) => fields[f] ?? '');
  t.equal(matches('metadata.name=a\\,b'), true);
  t.equal(matches('metadata.name==a\\,b,spec.nodeName='), true);
  t.equal(matches('spec.nodeName!='), false);
  t.equal(matches(''), true);
  for (const bad of ['x', 'a=b=c', 'a=\\x', 'a=\\']) {
    t.throws(() => parseFieldSelector(bad), SelectorError, bad);
  }
});
