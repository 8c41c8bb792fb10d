import { readFileSync } from 'node:fs';
import t from 'tap';
import { isNeededIcuItem, readIcuItems, removeIcuItems } from './icu.ts';

const HEADER_BYTES = 32;

/** A file with an ICU data package of `items` behind `before` bytes of something else. */
function fileWith(items: Readonly<Record<string, string>>, before = 64): Buffer {
  const names = Object.keys(items);
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt16LE(HEADER_BYTES, 0);
  header.set([0xda, 0x27], 2);
  header.write('CmnD', 12);
  const table = Buffer.alloc(4 + names.length * 8);
  table.writeUInt32LE(names.length, 0);
  const texts = Buffer.from(names.map((name) => `${name}\0`).join(''));
  let nameAt = table.length;
  let dataAt = table.length + texts.length;
  for (const [index, [name, data]] of Object.entries(items).entries()) {
    table.writeUInt32LE(nameAt, 4 + index * 8);
    table.writeUInt32LE(dataAt, 8 + index * 8);
    nameAt += name.length + 1;
    dataAt += data.length;
  }
  const data = Buffer.from(Object.values(items).join(''));
  return Buffer.concat([Buffer.alloc(before, 'CmnD'), header, table, texts, data]);
}

const ITEMS = {
  'icu/brkitr/thaidict.dict': 'DICT',
  'icu/de.res': 'GERMAN',
  'icu/en.res': 'ENGLISH',
  'icu/pool.res': 'POOL',
  'icu/zu.res': 'ZULU',
};

t.test('removeIcuItems() leaves needed items where they were and zeroes the others', async (t) => {
  const file = fileWith(ITEMS);
  const before = readIcuItems(file);
  t.same(
    before.map(({ name }) => name),
    Object.keys(ITEMS),
  );
  t.equal(removeIcuItems(file, isNeededIcuItem), 'DICTGERMAN'.length);
  const after = readIcuItems(file);
  t.same(
    after.map(({ name, start }) => ({ name, start })),
    before
      .filter(({ name }) => /en|pool|zu/.test(name)) // The last one's end is unknown: it stays.
      .map(({ name, start }) => ({ name, start })),
  );
  const at = (name: string) => after.find((item) => item.name === `icu/${name}`)?.start ?? 0;
  t.equal(file.toString('latin1', at('en.res'), at('pool.res')), 'ENGLISH');
  t.notOk(file.includes('GERMAN'));
  t.notOk(file.includes('DICT'));
  t.ok(file.includes('CmnDCmnD'), 'what lies before the package is as it was');
});

t.test('readIcuItems() refuses what is no package', async (t) => {
  t.throws(() => readIcuItems(Buffer.from('CmnD and nothing else')), /no ICU data package/);
  const unsorted = fileWith({ 'icu/b': '1', 'icu/a': '2' });
  t.throws(() => readIcuItems(unsorted), /icu\/a is out of order/);
  const cut = fileWith(ITEMS).subarray(0, 64 + HEADER_BYTES + 20);
  t.throws(() => readIcuItems(cut), /package of 5 items/);
});

const names = [
  ['root.res', true],
  ['pool.res', true],
  ['res_index.res', true],
  ['supplementalData.res', true],
  ['zoneinfo64.res', true],
  ['nfkc.nrm', true],
  ['coll/ucadata.icu', true],
  ['en.res', true],
  ['en_US.res', true],
  ['en_001.res', true],
  ['zone/en.res', true],
  ['en_GB.res', false],
  ['de.res', false],
  ['de_.res', false],
  ['coll/de__PHONEBOOK.res', false],
  ['curr/sr_Latn_RS.res', false],
  ['lang/es_419.res', false],
  ['yue_Hant.res', false],
  ['gb18030-2022.cnv', false],
  ['cnvalias.icu', true],
  ['brkitr/cjdict.dict', false],
  ['brkitr/line.brk', true],
  ['translit/root.res', false],
  ['translit/en.res', false],
  ['unames.icu', false],
] as const;
for (const [name, needed] of names) {
  t.test(`isNeededIcuItem() ${needed ? 'keeps' : 'drops'} ${name}`, async (t) => {
    t.equal(isNeededIcuItem(`icudt78l/${name}`), needed);
  });
}

t.test('the pinned Node carries one package, of which a tenth is needed', async (t) => {
  const items = readIcuItems(readFileSync(process.execPath));
  const size = (list: typeof items) =>
    list.reduce((sum, { start, end }) => sum + ((end ?? start) - start), 0);
  const kept = items.filter(({ name }) => isNeededIcuItem(name));
  t.ok(items.length > 1000, `${items.length} items`);
  t.ok(size(kept) * 5 < size(items), `${size(kept)} of ${size(items)} bytes are needed`);
  for (const name of ['root.res', 'en.res', 'zoneinfo64.res', 'timezoneTypes.res', 'pool.res']) {
    t.ok(
      kept.some((item) => item.name.endsWith(`/${name}`)),
      name,
    );
  }
});
