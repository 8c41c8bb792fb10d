/**
 * ComponentStatuses (deprecated): what `kubectl get cs` shows; parts of one process are healthy
 * with it.
 */
import type { ComponentStatus } from '#base/kube/api/core-v1.gen.ts';
import type { ObjectMeta } from '#base/kube/api/meta-v1.gen.ts';
import { notFound } from '../errors.ts';
import type { ApiResponse } from '../exchange.ts';
import type { TableRules } from '../resource.ts';
import { tableOf } from '../resources/tables.ts';
import type { Call } from './call.ts';
import { replyShown } from './reply.ts';

const NAMES = ['controller-manager', 'etcd-0', 'scheduler'];
const WARNING = 'v1 ComponentStatus is deprecated in v1.19+';

function statusOf(name: string): ComponentStatus {
  const metadata = { name } as ObjectMeta; // They have nothing else.
  const conditions = [{ type: 'Healthy', status: 'True', message: 'ok' }];
  return { kind: 'ComponentStatus', apiVersion: 'v1', metadata, conditions };
}

const TABLE: TableRules = tableOf<ComponentStatus>(
  'Name,Status,Message,Error',
  ({ metadata, conditions = [] }) => {
    const healthy = conditions.find(({ type }) => type === 'Healthy');
    const state = healthy === undefined ? 'Unknown' : undefined;
    return [
      metadata.name,
      state ?? (healthy?.status === 'True' ? 'Healthy' : 'Unhealthy'),
      healthy?.message ?? '',
      healthy?.error ?? '',
    ];
  },
) as TableRules; // Of the objects above.

export async function componentStatuses(call: Call): Promise<ApiResponse> {
  call.warnings.add(WARNING);
  const { name } = call.info;
  await call.services.hub.waitForLatest(call.services.signal); // The store answers.
  if (name === '') {
    const list = { kind: 'ComponentStatusList', apiVersion: 'v1', metadata: {} };
    return replyShown(call, { ...list, items: NAMES.map(statusOf) }, TABLE);
  }
  if (!NAMES.includes(name)) throw notFound({ group: '', resource: 'componentstatuses' }, name);
  return replyShown(call, statusOf(name), TABLE);
}
