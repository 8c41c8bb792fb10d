/**
 * Helpers for the table form of objects (`kubectl get`): columns, ages, joined lists.
 * Source of the forms: kubernetes v1.36.3 pkg/printers/internalversion, apimachinery util/duration.
 */
import type { Container, PodTemplateSpec } from '#base/kube/api/core-v1.gen.ts';
import type { LabelSelector } from '#base/kube/api/meta-v1.gen.ts';
import type { KubeObject } from '#base/kube/client.ts';
import type { TableColumn, TableRules } from '../resource.ts';
import { sortedMap } from './field-errors.ts';

export const NONE = '<none>';
export const UNKNOWN = '<unknown>';
export const UNSET = '<unset>';

type Type = TableColumn['type'];

/**
 * Columns from their names: `Name` first, then as written; `Ready:integer` gives a type, and names
 * after `|` are shown with `-o wide` alone.
 */
export function columns(text: string): TableColumn[] {
  const [shown = '', wide = ''] = text.split('|');
  const parse = (part: string, priority: number): TableColumn[] =>
    part
      .split(',')
      .map((name) => name.trim())
      .filter((name) => name !== '')
      .map((entry) => {
        const [name = '', type = 'string'] = entry.split(':');
        const format = name === 'Name' ? 'name' : '';
        return { name, type: type as Type, format, description: '', priority }; // Ours, above.
      });
  return [...parse(shown, 0), ...parse(wide, 1)];
}

/** Rules for a table whose cells are plain functions of the object. */
export function tableOf<T extends KubeObject>(
  text: string,
  cells: (object: T, nowMs: number) => readonly unknown[],
): TableRules<T> {
  return { columns: columns(text), row: (object, nowMs) => ({ cells: cells(object, nowMs) }) };
}

/** `<unknown>` without a time; otherwise the two largest units that still say something. */
export function age(time: string | undefined, nowMs: number): string {
  if (time === undefined || time === '') return UNKNOWN;
  return humanDuration(nowMs - Date.parse(time));
}

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const YEAR = 365 * DAY;

/** `5s`, `3m20s`, `4h`, `2d3h`, `5y`: precision falls as the duration grows. */
export function humanDuration(durationMs: number): string {
  const seconds = Math.trunc(durationMs / 1000);
  if (seconds < -1) return '<invalid>';
  if (seconds < 0) return '0s';
  const minutes = Math.trunc(seconds / MINUTE);
  const hours = Math.trunc(seconds / HOUR);
  const days = Math.trunc(hours / 24);
  const with2 = (large: string, rest: number, unit: string): string =>
    rest === 0 ? large : `${large}${rest}${unit}`;
  if (seconds < 2 * MINUTE) return `${seconds}s`;
  if (minutes < 10) return with2(`${minutes}m`, seconds % MINUTE, 's');
  if (minutes < 3 * 60) return `${minutes}m`;
  if (hours < 8) return with2(`${hours}h`, minutes % 60, 'm');
  if (hours < 48) return `${hours}h`;
  if (hours < 8 * 24) return with2(`${days}d`, hours % 24, 'h');
  if (hours < 2 * 365 * 24) return `${days}d`;
  const years = Math.trunc(seconds / YEAR);
  if (hours < 8 * 365 * 24) return with2(`${years}y`, days % 365, 'd');
  return `${years}y`;
}

export function orNone(text: string | undefined): string {
  return text === undefined || text === '' ? NONE : text;
}

/** Of kinds for which upstream has no printer. */
export const createdTable: TableRules = tableOf('Name,Created At:date', ({ metadata }) => [
  metadata.name,
  metadata.creationTimestamp ?? '',
]);

/** Names and images of the containers of a template, for wide tables. */
export function containerCells(template: PodTemplateSpec | undefined): [string, string] {
  const containers: readonly Container[] = template?.spec?.containers ?? [];
  return [
    containers.map(({ name }) => name).join(','),
    containers.map(({ image }) => image ?? '').join(','),
  ];
}

/** `a=b,c=d`, sorted; `<none>` for none. */
export function formatLabels(labels: Readonly<Record<string, string>> | undefined): string {
  const pairs = Object.entries(sortedMap(labels)).map(([key, value]) => `${key}=${value}`);
  return pairs.length === 0 ? NONE : pairs.join(',');
}

/** The textual form of a selector; `<none>` when it selects all, `<error>` when it is wrong. */
export function formatSelector(selector: LabelSelector | undefined): string {
  const text = selectorText(selector);
  return text === '' ? NONE : text;
}

/** As in `status.selector` of a Scale: requirements sorted by key. */
export function selectorText(selector: LabelSelector | undefined): string {
  const parts = Object.entries(selector?.matchLabels ?? {}).map(([key, value]) => ({
    key,
    text: `${key}=${value}`,
  }));
  for (const { key, operator, values = [] } of selector?.matchExpressions ?? []) {
    const list = `(${[...values].sort().join(',')})`;
    const text =
      operator === 'In'
        ? `${key} in ${list}`
        : operator === 'NotIn'
          ? `${key} notin ${list}`
          : operator === 'Exists'
            ? key
            : `!${key}`;
    parts.push({ key, text });
  }
  parts.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  return parts.map(({ text }) => text).join(',');
}
