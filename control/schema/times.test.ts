import fc from 'fast-check';
import t from 'tap';
import {
  canonicalMicroTime,
  canonicalTime,
  formatDuration,
  formatTime,
  parseDuration,
  parseInstant,
  ZERO_SECONDS,
} from './times.ts';

await t.test('formatTime() and parseInstant() agree with Date for all years', async (t) => {
  const seconds = fc.integer({ min: ZERO_SECONDS + 1, max: 253_402_300_799 });
  fc.assert(
    fc.property(seconds, (s) => {
      const text = `${new Date(s * 1000).toISOString().slice(0, 19)}Z`;
      return formatTime(s) === text && parseInstant(text)?.seconds === s;
    }),
  );
  t.equal(formatTime(ZERO_SECONDS), null);
});

await t.test('canonicalTime() is UTC, whole seconds', async (t) => {
  const cases: readonly (readonly [string, string | null | undefined])[] = [
    ['2024-02-29T00:00:00Z', '2024-02-29T00:00:00Z'],
    ['2024-02-20T00:00:00.5+01:00', '2024-02-19T23:00:00Z'],
    ['2024-02-20T00:00:00,5Z', '2024-02-20T00:00:00Z'],
    ['2024-01-01T0:00:00Z', '2024-01-01T00:00:00Z'],
    ['2024-12-31T23:59:59-00:01', '2025-01-01T00:00:59Z'],
    ['0001-01-01T00:00:00Z', null],
    ['0001-01-01T01:00:00+01:00', null],
    ['2023-02-29T00:00:00Z', undefined],
    ['1900-02-29T00:00:00Z', undefined],
    ['2024-13-01T00:00:00Z', undefined],
    ['2024-01-01T24:00:00Z', undefined],
    ['2024-01-01T00:00:60Z', undefined],
    ['2024-01-01T00:00:00', undefined],
    ['2024-01-01 00:00:00Z', undefined],
    ['2024-01-01T00:00:00+25:00', undefined],
    ['', undefined],
  ];
  for (const [text, wanted] of cases) t.equal(canonicalTime(text), wanted, text);
});

await t.test('canonicalMicroTime() wants six digits', async (t) => {
  t.equal(canonicalMicroTime('2024-01-01T01:00:00.123456+01:00'), '2024-01-01T00:00:00.123456Z');
  t.equal(canonicalMicroTime('2024-01-01T00:00:00Z'), undefined);
  t.equal(canonicalMicroTime('0001-01-01T00:00:00.000000Z'), null);
});

await t.test('durations print as Go prints them', async (t) => {
  const cases: readonly (readonly [string, string | undefined])[] = [
    ['0', '0s'],
    ['1h', '1h0m0s'],
    ['90m', '1h30m0s'],
    ['1.5s', '1.5s'],
    ['100ms', '100ms'],
    ['1500us', '1.5ms'],
    ['1.0005µs', '1µs'],
    ['-2m', '-2m0s'],
    ['36h', '36h0m0s'],
    ['5', undefined],
    ['s', undefined],
    ['', undefined],
    ['1d', undefined],
  ];
  for (const [text, wanted] of cases) {
    const nanos = parseDuration(text);
    t.equal(nanos === undefined ? undefined : formatDuration(nanos), wanted, text);
  }
});
