/** Columns keep their content when they grow, and large ones are not copied. */
import t from 'tap';
import { growF64, growU32 } from './columns.ts';

t.test('columns grow, large ones in place', (t) => {
  const u32 = (from: Uint32Array | Float64Array, capacity: number) =>
    growU32(from as Uint32Array, capacity); // Of the first row.
  const f64 = (from: Uint32Array | Float64Array, capacity: number) =>
    growF64(from as Float64Array, capacity); // Of the second row.
  const rows = [
    { name: 'u32', grow: u32, small: new Uint32Array(64) },
    { name: 'f64', grow: f64, small: new Float64Array(64) },
  ];
  for (const { name, grow, small } of rows) {
    let column: Uint32Array | Float64Array = small;
    for (let i = 0; i < 64; i++) column[i] = i + 1;
    let copies = 0;
    for (let capacity = 128; capacity <= 2 ** 22; capacity *= 2) {
      const grown = grow(column, capacity);
      if (grown.buffer !== column.buffer) copies += column.byteLength;
      t.equal(grown.length, capacity, name);
      t.equal(grown[column.length], 0, 'new rows are zero');
      column = grown;
      column[capacity - 1] = capacity;
    }
    t.ok(
      copies < 300_000,
      `${name}: ${copies} bytes were copied on the way to ${column.byteLength}`,
    );
    for (let i = 0; i < 63; i++) if (column[i] !== i + 1) t.fail(`row ${i} changed`);
    for (let at = 128; at <= 2 ** 22; at *= 2) t.equal(column[at - 1], at, 'a late row');
  }
  t.end();
});
