/**
 * ComponentStatuses (deprecated): what `kubectl get cs` shows; parts of one process are healthy
 * with it.
 */
import { notFound } from '../errors.ts';
import type { ApiResponse } from '../exchange.ts';
import type { Call } from './call.ts';
import { replyObject } from './reply.ts';

const NAMES = ['controller-manager', 'etcd-0', 'scheduler'];
const WARNING = 'v1 ComponentStatus is deprecated in v1.19+';

function statusOf(name: string) {
  const condition = { type: 'Healthy', status: 'True', message: 'ok' };
  return { metadata: { name }, conditions: [condition] };
}

export async function componentStatuses(call: Call): Promise<ApiResponse> {
  call.warnings.add(WARNING);
  const { name } = call.info;
  await call.services.hub.waitForLatest(call.services.signal); // The store answers.
  const apiVersion = 'v1';
  if (name === '') {
    const items = NAMES.map(statusOf);
    return replyObject(
      200,
      { kind: 'ComponentStatusList', apiVersion, metadata: {}, items },
      call.format(),
    );
  }
  if (!NAMES.includes(name)) throw notFound({ group: '', resource: 'componentstatuses' }, name);
  const kind = 'ComponentStatus';
  return replyObject(200, { kind, apiVersion, ...statusOf(name) }, call.format());
}
