/**
 * Objects in another shape than their own: rows of a Table, and PartialObjectMetadata. Pure, but
 * for the time that ages are counted from.
 */
import type { KubeObject } from '#base/kube/client.ts';
import type { TableColumn, TableRules } from '../resource.ts';
import { age } from '../resources/tables.ts';

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
    return { cells: [name, age(creationTimestamp, nowMs)] };
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
