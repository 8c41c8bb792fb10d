/**
 * The agent's part of the machine API: images. Served on the agent's unix socket, whose file mode
 * decides who may connect; the gateway checks roles before it forwards a call here.
 */
import { chmodSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { WebSocketServer } from 'ws';
import { Images } from '#base/protocol/bareboat.gen.ts';
import { MESSAGE_BYTES_MAX, ProtocolError } from '#base/protocol/frames.ts';
import { ServiceTable } from '#base/protocol/protocol.ts';
import { type ImageService, RuntimeError } from '#daemon/runtime/port.ts';

/** The methods over `images`. */
export function imageServices(images: ImageService): ServiceTable {
  return new ServiceTable()
    .unary(Images.List, async () => ({
      images: images.list().map((image) => ({
        id: image.id,
        tags: [...image.tags],
        digests: [...image.digests],
        sizeBytes: image.sizeBytes,
      })),
    }))
    .stream(Images.Import, async function* (requests, { signal }) {
      try {
        yield { names: [...(await images.importArchive(dataOf(requests), signal))] };
      } catch (error) {
        throw importError(error);
      }
    });
}

/** Listens on `path` (0660), replacing the socket of an earlier process. */
export async function serveMachineSocket(path: string, table: ServiceTable): Promise<Server> {
  rmSync(path, { force: true });
  const server = createServer();
  table.serveSockets(
    new WebSocketServer({ server, perMessageDeflate: false, maxPayload: MESSAGE_BYTES_MAX + 64 }),
  );
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  chmodSync(path, 0o660);
  return server;
}

async function* dataOf(chunks: AsyncIterable<{ data: Uint8Array }>): AsyncGenerator<Uint8Array> {
  for await (const { data } of chunks) yield data;
}

function importError(error: unknown): unknown {
  if (!(error instanceof RuntimeError)) return error;
  const code = error.code === 'NO_SPACE' ? 'RESOURCE_EXHAUSTED' : 'INVALID_ARGUMENT';
  return new ProtocolError(code, error.message, { details: { reason: error.code }, cause: error });
}
