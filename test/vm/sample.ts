/** The sample of `make run`: an image made of Debian's busybox, a Deployment and a Service of type NodePort. */
import { join } from 'node:path';
import { writeArchive } from '#image/archive.ts';
import { busyboxEntries } from '#image/busybox.ts';

export const SAMPLE_IMAGE = 'localhost/bareboat-sample:1';
export const SAMPLE_NODE_PORT = 30080;
export const SAMPLE_PAGE = 'Bareboat serves this page out of a pod.\n';

/** Writes the archive into `dir`; returns its path. Throws when busybox-static is not installed. */
export async function writeSampleImage(dir: string): Promise<string> {
  const path = join(dir, 'sample-image.tar');
  const entries = [
    ...busyboxEntries(),
    { path: 'www', kind: 'directory' },
    { path: 'www/index.html', kind: 'file', content: SAMPLE_PAGE },
  ] as const;
  const config = { Cmd: ['/bin/httpd', '-f', '-v', '-p', '8080', '-h', '/www'] };
  await writeArchive({ names: [SAMPLE_IMAGE], entries, config }, path);
  return path;
}

const labels = { app: 'sample' };

export const SAMPLE_MANIFESTS: readonly object[] = [
  {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'sample', namespace: 'default' },
    spec: {
      replicas: 2,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          terminationGracePeriodSeconds: 2,
          containers: [
            {
              name: 'web',
              image: SAMPLE_IMAGE,
              ports: [{ containerPort: 8080 }],
              readinessProbe: {
                httpGet: { path: '/', port: 8080 },
                periodSeconds: 2,
                timeoutSeconds: 5,
              },
            },
          ],
        },
      },
    },
  },
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'sample', namespace: 'default' },
    spec: {
      type: 'NodePort',
      selector: labels,
      ports: [{ port: 80, targetPort: 8080, nodePort: SAMPLE_NODE_PORT }],
    },
  },
];
