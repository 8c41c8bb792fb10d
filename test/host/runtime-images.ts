/** Image archives for the tests of the runtime, made with tar-stream: an encoder that is not ours. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { type Header, pack } from 'tar-stream';

export interface Entry extends Partial<Header> {
  readonly name: string;
  readonly content?: string | Buffer;
}

export async function makeTar(entries: readonly Entry[]): Promise<Buffer> {
  const tar = pack();
  for (const { content, ...header } of entries) {
    if (content === undefined) tar.entry(header);
    else tar.entry(header, content);
  }
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer); // Pack yields buffers.
  return Buffer.concat(chunks);
}

export function sha256(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

const APPLETS = ['sh', 'sleep', 'cat', 'echo', 'id', 'hostname', 'ps', 'stty', 'dd', 'yes', 'stat'];

/** The lowest layer of the test images: busybox-static, users, a directory for mounts. */
export function busyboxLayer(): Promise<Buffer> {
  return makeTar([
    { name: 'bin/', type: 'directory', mode: 0o755 },
    { name: 'bin/busybox', mode: 0o755, content: readFileSync('/bin/busybox') },
    ...APPLETS.map(
      (name): Entry => ({ name: `bin/${name}`, type: 'symlink', linkname: 'busybox' }),
    ),
    { name: 'etc/', type: 'directory', mode: 0o755 },
    {
      name: 'etc/passwd',
      content: 'root:x:0:0:root:/root:/bin/sh\nweb:x:1001:1002:web:/:/bin/sh\n',
    },
    { name: 'etc/group', content: 'root:x:0:\nweb:x:1002:\nextra:x:1003:web\n' },
    { name: 'tmp/', type: 'directory', mode: 0o1777 },
  ]);
}

export interface ImageSource {
  readonly layers: readonly Buffer[];
  readonly config?: object;
  readonly tag: string;
}

function configOf(image: ImageSource): Buffer {
  return Buffer.from(
    JSON.stringify({
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      os: 'linux',
      config: { Env: ['PATH=/bin', 'FROM_IMAGE=yes'], Cmd: ['sh'], ...image.config },
      rootfs: { type: 'layers', diff_ids: image.layers.map((layer) => `sha256:${sha256(layer)}`) },
    }),
  );
}

export async function dockerArchive(image: ImageSource): Promise<Buffer> {
  const config = configOf(image);
  const configName = `${sha256(config)}.json`;
  const layers = image.layers.map((layer) => ({ name: `${sha256(layer)}/layer.tar`, layer }));
  const manifest = [
    { Config: configName, RepoTags: [image.tag], Layers: layers.map((layer) => layer.name) },
  ];
  return await makeTar([
    ...layers.map(({ name, layer }): Entry => ({ name, content: layer })),
    { name: configName, content: config },
    { name: 'manifest.json', content: JSON.stringify(manifest) },
  ]);
}

export async function ociArchive(image: ImageSource): Promise<Buffer> {
  const { blobs, manifest } = ociParts(image);
  const index = {
    schemaVersion: 2,
    manifests: [
      {
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        digest: `sha256:${sha256(manifest)}`,
        size: manifest.length,
        annotations: { 'io.containerd.image.name': image.tag },
      },
    ],
  };
  return await makeTar([
    { name: 'oci-layout', content: '{"imageLayoutVersion":"1.0.0"}' },
    { name: 'index.json', content: JSON.stringify(index) },
    ...blobs.map((blob): Entry => ({ name: `blobs/sha256/${sha256(blob)}`, content: blob })),
  ]);
}

/** Config, gzipped layers and manifest of an OCI image, as blobs. */
export function ociParts(image: ImageSource): { blobs: readonly Buffer[]; manifest: Buffer } {
  const config = configOf(image);
  const layers = image.layers.map((layer) => gzipSync(layer, { level: 1 }));
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: {
        mediaType: 'application/vnd.oci.image.config.v1+json',
        digest: `sha256:${sha256(config)}`,
        size: config.length,
      },
      layers: layers.map((layer) => ({
        mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
        digest: `sha256:${sha256(layer)}`,
        size: layer.length,
      })),
    }),
  );
  return { blobs: [config, ...layers, manifest], manifest };
}
