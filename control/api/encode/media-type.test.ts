import t from 'tap';
import { bodyEncoding, negotiate, preferredType } from './media-type.ts';

const TABLE = 'application/json;as=Table;v=v1;g=meta.k8s.io';
const PROTOBUF = 'application/vnd.kubernetes.protobuf';
const cases = [
  { accept: undefined, want: { encoding: 'json', shape: undefined } },
  { accept: '*/*', want: { encoding: 'json' } },
  { accept: `${PROTOBUF},application/json`, want: { encoding: 'protobuf' } },
  { accept: 'application/yaml', want: { encoding: 'yaml' } },
  { accept: `${TABLE},application/json`, want: { encoding: 'json', shape: 'Table' } },
  {
    accept: 'application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json',
    want: { encoding: 'json', shape: undefined },
  },
  { accept: 'text/html,application/xhtml+xml,*/*;q=0.8', want: { encoding: 'json' } },
  { accept: 'application/json;q=0.5,application/yaml', want: { encoding: 'yaml' } },
  { accept: `${PROTOBUF};as=Table;v=v1;g=meta.k8s.io`, want: 406 },
  { accept: 'image/png', want: 406 },
  { accept: 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io', want: 406 },
] as const;

for (const { accept, want } of cases) {
  t.test(`negotiate() ${accept}`, (t) => {
    const run = () => negotiate(accept, { shapes: ['Table', 'PartialObjectMetadata'] });
    if (typeof want === 'number') t.throws(run, { code: want });
    else t.match(run(), want);
    t.end();
  });
}

t.test('bodyEncoding()', (t) => {
  t.equal(bodyEncoding(undefined), 'json');
  t.equal(bodyEncoding('application/json; charset=utf-8'), 'json');
  t.equal(bodyEncoding(PROTOBUF), 'protobuf');
  t.throws(() => bodyEncoding('text/plain'), { code: 415 });
  t.throws(() => bodyEncoding('*/*'), { code: 415 });
  t.end();
});

t.test('preferredType()', (t) => {
  const types = ['application/json', 'application/x@v1+protobuf'];
  const rows = [
    [undefined, 'application/json'],
    ['', 'application/json'],
    ['application/*', 'application/json'],
    ['application/x@v1+protobuf', 'application/x@v1+protobuf'],
    ['application/json;q=0.5, application/x@v1+protobuf', 'application/x@v1+protobuf'],
    ['text/plain, */*;q=0.1', 'application/json'],
    ['text/*', undefined],
  ] as const;
  for (const [accept, want] of rows) t.equal(preferredType(accept, types), want, `${accept}`);
  t.end();
});
