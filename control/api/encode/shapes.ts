/**
 * Objects in another shape than their own: rows of a Table, and PartialObjectMetadata. Pure, but
 * for the time that ages are counted from.
 */
import type { KubeObject } from '#base/kube/client.ts';
import type { TableColumn, TableRules } from '../resource.ts';

const NAME_COLUMN: TableColumn = {
  name: 'Name',
  type: 'string',
  format: 'name',
  description:
    'Name must be unique within a namespace. Is required when creating resources, although some ' +
    'resources may allow a client to request the generation of an appropriate name automatically. ' +
    'Name is primarily intended for creation idempotence and configuration definition. Cannot be ' +
    'updated. More info: ' +
    'https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names',
  priority: 0,
};

/** Columns of kinds that declare none. */
export const DEFAULT_TABLE: TableRules = {
  columns: [
    NAME_COLUMN,
    { name: 'Age', type: 'string', format: '', description: 'Time since creation.', priority: 0 },
  ],
  row(object, nowMs) {
    const { name, creationTimestamp } = object.metadata;
    return { cells: [name, formatAge(creationTimestamp, nowMs)] };
  },
};

export type IncludeObject = 'None' | 'Metadata' | 'Object';

export function tableRow(
  object: KubeObject,
  table: TableRules,
  options: { include: IncludeObject; nowMs: number },
): unknown {
  const { cells, conditions } = table.row(object, options.nowMs);
  return {
    cells,
    ...(conditions === undefined ? {} : { conditions }),
    ...(options.include === 'None'
      ? {}
      : { object: options.include === 'Object' ? object : partialMetadata(object) }),
  };
}

export function tableOf(
  rows: readonly unknown[],
  table: TableRules | undefined,
  metadata: unknown,
) {
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata,
    columnDefinitions: table === undefined ? null : table.columns,
    rows,
  };
}

export function partialMetadata(object: KubeObject): KubeObject {
  return {
    kind: 'PartialObjectMetadata',
    apiVersion: 'meta.k8s.io/v1',
    metadata: object.metadata,
  };
}

/** `5s`, `3m10s`, `4h`, `12d`, `2y10d`: apimachinery util/duration HumanDuration. */
export function formatAge(timestamp: string | undefined, nowMs: number): string {
  if (timestamp === undefined || timestamp === '') return '<unknown>';
  return formatDuration(nowMs - Date.parse(timestamp));
}

export function formatDuration(ms: number): string {
  const seconds = Math.trunc(ms / 1000);
  if (seconds < -1) return '<invalid>';
  if (seconds < 0) return '0s';
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.trunc(seconds / 60);
  if (minutes < 10) return withRest(minutes, 'm', seconds % 60, 's');
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.trunc(seconds / 3600);
  if (hours < 8) return withRest(hours, 'h', minutes % 60, 'm');
  if (hours < 48) return `${hours}h`;
  if (hours < 192) return withRest(Math.trunc(hours / 24), 'd', hours % 24, 'h');
  const days = Math.trunc(hours / 24);
  if (hours < 24 * 365 * 2) return `${days}d`;
  if (hours < 24 * 365 * 8) return withRest(Math.trunc(days / 365), 'y', days % 365, 'd');
  return `${Math.trunc(days / 365)}y`;
}

function withRest(count: number, unit: string, rest: number, restUnit: string): string {
  return rest === 0 ? `${count}${unit}` : `${count}${unit}${rest}${restUnit}`;
}
