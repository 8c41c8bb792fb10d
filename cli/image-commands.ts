/** Commands about container images of a machine. */
import { type Image, Images } from '#base/protocol/bareboat.gen.ts';
import { fileChunks } from './file-chunks.ts';
import { sizeOfInput } from './files.ts';
import { type Column, type Format, formatBytes, formatRows } from './output.ts';
import { type Cli, outputOption } from './program.ts';

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
          const requests = fileChunks(archive, io.note);
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
