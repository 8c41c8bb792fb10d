/** Building of responses: objects and Statuses in the negotiated format, with the usual headers. */
import { encodePlain } from '../encode/encoder.ts';
import { contentTypeOf, type Format, JSON_FORMAT } from '../encode/media-type.ts';
import type { ApiResponse, ResponseBody } from '../exchange.ts';

export function reply(status: number, format: Format, body: ResponseBody): ApiResponse {
  return { status, headers: { 'content-type': contentTypeOf(format) }, body };
}

export function replyObject(status: number, object: object, format = JSON_FORMAT): ApiResponse {
  return reply(status, format, encodePlain(object, format));
}

export function replyText(status: number, text: string): ApiResponse {
  return {
    status,
    headers: { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' },
    body: Buffer.from(text),
  };
}
