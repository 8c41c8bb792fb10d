/** Building of responses: objects and Statuses in the negotiated format, with the usual headers. */
import type { ListMeta } from '#base/kube/api/meta-v1.gen.ts';
import type { KubeObject } from '#base/kube/client.ts';
import { encodePlain } from '../encode/encoder.ts';
import { contentTypeOf, type Format, JSON_FORMAT } from '../encode/media-type.ts';
import { tableOf, tableRow } from '../encode/shapes.ts';
import type { ApiResponse, ResponseBody } from '../exchange.ts';
import type { TableRules } from '../resource.ts';
import type { Call } from './call.ts';

export function reply(status: number, format: Format, body: ResponseBody): ApiResponse {
  return { status, headers: { 'content-type': contentTypeOf(format) }, body };
}

export function replyObject(status: number, object: object, format = JSON_FORMAT): ApiResponse {
  return reply(status, format, encodePlain(object, format));
}

/** An object that is not stored, or a list of such, as itself or as a table. */
export function replyShown(
  call: Call,
  shown: KubeObject | { readonly metadata: object; readonly items: readonly KubeObject[] },
  table: TableRules,
): ApiResponse {
  const format = call.format(['Table']);
  const isList = 'items' in shown;
  if (format.shape === undefined) {
    // Items of lists do not say what they are.
    const items = isList ? shown.items.map(({ kind: _, apiVersion: __, ...rest }) => rest) : [];
    return replyObject(200, isList ? { ...shown, items } : shown, format);
  }
  const { include, nowMs } = call;
  const items = isList ? shown.items : [shown];
  const rows = items.map((item) => tableRow(item, table, { include, nowMs }));
  const { resourceVersion } = shown.metadata as ListMeta; // Of objects too.
  const shownTable = tableOf(rows, table, resourceVersion === undefined ? {} : { resourceVersion });
  return replyObject(200, shownTable, { ...format, shape: undefined });
}

export function replyText(status: number, text: string): ApiResponse {
  return {
    status,
    headers: { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' },
    body: Buffer.from(text),
  };
}
