/** Handlers of subresources and virtual resources, by `group/resource/subresource`. */
import type { Handler } from './call.ts';

export function specialHandlers(): ReadonlyMap<string, Handler> {
  return new Map();
}
