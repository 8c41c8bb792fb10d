/** JSON values as the patch formats see them: Go's words for their types and for printing them. */

export type Fields = Readonly<Record<string, unknown>>;

export type GoType =
  | 'nil'
  | 'string'
  | 'float64'
  | 'bool'
  | 'map[string]interface {}'
  | '[]interface {}';

export function isMap(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function goTypeOf(value: unknown): GoType {
  if (value === null || value === undefined) return 'nil';
  if (Array.isArray(value)) return '[]interface {}';
  if (typeof value === 'object') return 'map[string]interface {}';
  if (typeof value === 'string') return 'string';
  return typeof value === 'boolean' ? 'bool' : 'float64';
}

/** As Go's %v prints a decoded JSON value. */
export function goFormat(value: unknown): string {
  if (value === null || value === undefined) return '<nil>';
  if (Array.isArray(value)) return `[${value.map(goFormat).join(' ')}]`;
  if (isMap(value)) {
    const keys = Object.keys(value).toSorted();
    return `map[${keys.map((key) => `${key}:${goFormat(value[key])}`).join(' ')}]`;
  }
  return typeof value === 'string' ? value : JSON.stringify(value);
}
