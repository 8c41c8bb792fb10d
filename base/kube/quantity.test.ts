import t from 'tap';
import {
  addQuantities,
  canonicalQuantity,
  compareQuantities,
  formatQuantity,
  multiplyQuantity,
  parseQuantity,
  quantityFromMilliValue,
  quantityFromValue,
  quantityMilliValue,
  quantityValue,
  subtractQuantities,
} from './quantity.ts';

// Right column: what upstream prints after reading the left one.
const canonical: readonly (readonly [string, string])[] = [
  ['0', '0'],
  ['0.0', '0'],
  ['00', '0'],
  ['-0', '0'],
  ['100m', '100m'],
  ['0.5', '500m'],
  ['.5', '500m'],
  ['1.5', '1500m'],
  ['1.500', '1.500'], // Kept as written: its scale is a multiple of three.
  ['+5', '+5'],
  ['1000', '1k'],
  ['1000m', '1'],
  ['1024', '1024'],
  ['1024Mi', '1Gi'],
  ['1536Mi', '1536Mi'],
  ['1.5Gi', '1536Mi'],
  ['0.5Ki', '512'],
  ['0.1Ki', '102400m'],
  ['1023Ki', '1023Ki'],
  ['2048Ki', '2Mi'],
  ['100Ti', '100Ti'],
  ['9Ei', '9223372036854775807'],
  ['1e3', '1e3'],
  ['1E3', '1E3'],
  ['10e3', '10e3'],
  ['1000e3', '1e6'],
  ['12e5', '1200e3'],
  ['1E', '1E'],
  ['1n', '1n'],
  ['0.1n', '1n'],
  ['-0.1n', '-1n'],
  ['1.00000000001', '1000000001n'],
  ['-5', '-5'],
  ['-1.5Gi', '-1536Mi'],
  ['123456789012345678901', '123456789012345678901'],
];

await t.test('canonicalQuantity() prints as upstream', async (t) => {
  for (const [text, wanted] of canonical) t.equal(canonicalQuantity(text), wanted, text);
});

await t.test('parseQuantity() rejects with upstream texts', async (t) => {
  const cases: readonly (readonly [string, string])[] = [
    ['', 'FORMAT'],
    ['1.1.M', 'FORMAT'],
    ['1+1.0M', 'FORMAT'],
    ['abc', 'FORMAT'],
    ['1 Gi', 'FORMAT'],
    ['1mi', 'SUFFIX'],
    ['1gi', 'FORMAT'],
    ['1KB', 'FORMAT'],
    ['1i', 'SUFFIX'],
    ['Ei', 'NUMERIC'],
    ['1e', 'SUFFIX'],
    ['1e99999999', 'SUFFIX'],
  ];
  for (const [text, code] of cases) t.throws(() => parseQuantity(text), { code }, text);
});

await t.test('arithmetic', async (t) => {
  const q = parseQuantity;
  t.equal(formatQuantity(addQuantities(q('1Gi'), q('512Mi'))), '1536Mi');
  t.equal(formatQuantity(addQuantities(q('0'), q('512Mi'))), '512Mi', 'zero takes the format');
  t.equal(formatQuantity(subtractQuantities(q('1'), q('100m'))), '900m');
  t.equal(formatQuantity(subtractQuantities(q('1'), q('1'))), '0');
  t.equal(formatQuantity(multiplyQuantity(q('250m'), 4)), '1');
  t.equal(compareQuantities(q('1Gi'), q('1073741824')), 0);
  t.ok(compareQuantities(q('1G'), q('1Gi')) < 0);
  t.equal(quantityValue(q('1500m')), 2, 'rounds up');
  t.equal(quantityValue(q('-1500m')), -2, 'away from zero');
  t.equal(quantityMilliValue(q('1.0005')), 1001);
  t.equal(formatQuantity(quantityFromValue(4096, 'BinarySI')), '4Ki');
  t.equal(formatQuantity(quantityFromMilliValue(1500, 'DecimalSI')), '1500m');
});
