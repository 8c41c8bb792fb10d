/** How the CLI shows things: tables for people, JSON and YAML for programs. */
import { stringify } from 'yaml';

export type Format = 'table' | 'json' | 'yaml';

export interface Column<T> {
  readonly title: string;
  readonly value: (row: T) => string;
}

/** The text of `rows`; `value` is what JSON and YAML show. */
export function formatRows<T>(
  format: Format,
  rows: readonly T[],
  shown: { columns: readonly Column<T>[]; value: unknown },
): string {
  if (format !== 'table') return formatValue(format, shown.value);
  const cells = [
    shown.columns.map((c) => c.title),
    ...rows.map((row) => shown.columns.map((c) => c.value(row))),
  ];
  const widths = shown.columns.map((_, index) =>
    Math.max(...cells.map((line) => line[index]?.length ?? 0)),
  );
  return cells
    .map((line) =>
      line
        .map((cell, index) => cell.padEnd(widths[index] ?? 0))
        .join('   ')
        .trimEnd(),
    )
    .join('\n');
}

export function formatValue(format: 'json' | 'yaml', value: unknown): string {
  return format === 'json'
    ? JSON.stringify(value, undefined, 2)
    : stringify(value, { lineWidth: 0 }).trimEnd();
}

/** One of several values in a row: a line of JSON, or a YAML document. */
export function formatDocument(format: 'json' | 'yaml', value: unknown): string {
  return format === 'json' ? JSON.stringify(value) : `---\n${formatValue('yaml', value)}`;
}

/** `key: value` lines, keys as words. */
export function formatPairs(values: object): string {
  const rows = Object.entries(values).map(([key, value]) => {
    const words = key.replaceAll(/(?<=[a-z])[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
    return [words, Array.isArray(value) ? value.join(', ') : String(value)] as const;
  });
  const width = Math.max(...rows.map(([key]) => key.length));
  return rows
    .map(([key, value]) => `${`${key}:`.padEnd(width + 2)}${value === '' ? '-' : value}`)
    .join('\n');
}

/** `1.5 GiB`: three digits at most, binary units. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value >= 100 || unit === 0 ? value.toFixed(0) : value.toFixed(1)} ${units[unit]}`;
}

/** `3d4h`, `2h5m`, `42s`: the two greatest units. */
export function formatSeconds(seconds: number): string {
  const whole = Math.floor(seconds);
  const parts: readonly (readonly [number, string])[] = [
    [Math.floor(whole / 86_400), 'd'],
    [Math.floor(whole / 3600) % 24, 'h'],
    [Math.floor(whole / 60) % 60, 'm'],
    [whole % 60, 's'],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0) return '0s';
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count}${unit}`)
    .join('');
}
