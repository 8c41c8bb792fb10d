/**
 * The agent's part of the machine API: images, and the end of pods. Served on the agent's unix socket, whose file mode
 * decides who may connect; the gateway checks roles before it forwards a call here.
 */
import { Images, Pods } from '#base/protocol/bareboat.gen.ts';
import { ProtocolError } from '#base/protocol/frames.ts';
import { ServiceTable } from '#base/protocol/protocol.ts';
import { type ImageService, RuntimeError } from '#daemon/runtime/port.ts';
import { endPods, type EndPodsIo } from './end-pods.ts';

/** The methods over `images` and, for the supervisor, the end of pods. */
export function agentServices(io: { images: ImageService } & EndPodsIo): ServiceTable {
  const { images } = io;
  return new ServiceTable()
    .unary(Pods.End, async ({ graceSeconds }, { signal }) => ({
      running: [...(await endPods(io, graceSeconds * 1000, signal))],
    }))
    .unary(Images.List, async () => ({
      images: images.list().map((image) => ({
        id: image.id,
        tags: [...image.tags],
        digests: [...image.digests],
        sizeBytes: image.sizeBytes,
      })),
    }))
    .unary(Images.Remove, async ({ image }, { signal }) => {
      const found = images.find(image);
      if (found === undefined) throw new ProtocolError('NOT_FOUND', `no image ${image}`);
      return { freedBytes: await images.remove(found.id, signal) };
    })
    .stream(Images.Import, async function* (requests, { signal }) {
      try {
        yield { names: [...(await images.importArchive(dataOf(requests), signal))] };
      } catch (error) {
        throw importError(error);
      }
    });
}

async function* dataOf(chunks: AsyncIterable<{ data: Uint8Array }>): AsyncGenerator<Uint8Array> {
  for await (const { data } of chunks) yield data;
}

function importError(error: unknown): unknown {
  if (!(error instanceof RuntimeError)) return error;
  const code = error.code === 'NO_SPACE' ? 'RESOURCE_EXHAUSTED' : 'INVALID_ARGUMENT';
  return new ProtocolError(code, error.message, { details: { reason: error.code }, cause: error });
}
