/** Commands about container images of a machine. */
import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import { type Chunk, type Image, Images } from '#base/protocol/bareboat.gen.ts';
import { sizeOfInput } from './files.ts';
import { type Column, type Format, formatBytes, formatRows } from './output.ts';
import { type Cli, type CliIo, outputOption } from './program.ts';

const IMPORT_CHUNK_BYTES = 256 * 1024;

const IMAGE_COLUMNS: readonly Column<Image>[] = [
  { title: 'IMAGE', value: (image) => image.tags.join(', ') || '<none>' },
  { title: 'ID', value: (image) => image.id.slice(0, 19) },
  { title: 'SIZE', value: (image) => formatBytes(image.sizeBytes) },
];

export function addImages({ program, io, withClient }: Cli): void {
  const image = program.command('image').description('container images of the machine');
  image
    .command('import <files...>')
    .description('import docker-save or OCI archives')
    .action((files: string[]) => {
      // All are looked at before the first is sent.
      const archives = files.map((file) => ({ file, sizeBytes: sizeOfInput(file) }));
      return withClient(async (client) => {
        for (const archive of archives) {
          const requests = archiveChunks(archive, io);
          for await (const { names } of client.stream(Images.Import, requests, io.signal)) {
            io.note(`imported ${names.join(' ')}`);
          }
        }
      });
    });
  image
    .command('remove <images...>')
    .description('remove images; what runs of them goes on')
    .action((names: string[]) =>
      withClient(async (client) => {
        for (const name of names) {
          const request = { image: name };
          const { freedBytes } = await client.call(Images.Remove, request, io.signal);
          io.note(`removed ${name}, ${formatBytes(freedBytes)} freed`);
        }
      }),
    );
  image
    .command('list')
    .description('images that are there')
    .addOption(outputOption())
    .action(({ output }: { output: Format }) =>
      withClient(async (client) => {
        const { images } = await client.call(Images.List, {}, io.signal);
        io.out(formatRows(output, images, { columns: IMAGE_COLUMNS, value: images }));
      }),
    );
}

/** Tells progress at each tenth of the file. */
async function* archiveChunks(
  { file, sizeBytes }: { file: string; sizeBytes: number },
  io: CliIo,
): AsyncGenerator<Chunk> {
  let sent = 0;
  let told = 0;
  for await (const data of createReadStream(file, { highWaterMark: IMPORT_CHUNK_BYTES })) {
    yield { data };
    sent += data.length;
    const tenths = Math.floor((sent * 10) / sizeBytes);
    if (tenths > told && sizeBytes > 10 * IMPORT_CHUNK_BYTES) {
      told = tenths;
      io.note(`${basename(file)}: ${formatBytes(sent)} of ${formatBytes(sizeBytes)}`);
    }
  }
}
