/**
 * Records upstream's answers to broken bodies and random patches for answers.test.ts. Needs Go, and
 * compiles apimachinery: run by hand when the release changes,
 * `node control/schema/generate/record-answers.ts`.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { type Body, brokenBodies, patchedPods } from './record-bodies.ts';
import { findModule } from './upstream.ts';

/** Kinds that between them have every form of field; small ones, to keep the recording small. */
const KINDS =
  /^(?:core\.v1\.(?:ConfigMap|Event|Namespace|PersistentVolumeClaim|Secret|Service|Endpoints)|apps\.v1\.ControllerRevision|authentication\.k8s\.io\.v1\.TokenReview|autoscaling\.v2\.\w+|coordination\.k8s\.io\.v1\.Lease|discovery\.k8s\.io\.v1\.\w+|networking\.k8s\.io\.v1\.Ingress|rbac\.authorization\.k8s\.io\.v1\.ClusterRole|core\.v1\.Pod)\.json$/;

const api = findModule('k8s.io/api');
const folder = mkdtempSync(join(tmpdir(), 'record-'));
try {
  const program = join(folder, 'record');
  const source = join(import.meta.dirname, 'record');
  const environment = { ...process.env, GOFLAGS: '-mod=mod' };
  execFileSync('cp', ['-r', `${source}/.`, folder]);
  execFileSync('go', ['build', '-o', program, '.'], { cwd: folder, env: environment });
  const bodies: Body[] = [
    ...brokenBodies(join(api.folder, 'testdata/HEAD'), KINDS, 400),
    ...patchedPods(300),
  ];
  const input = bodies.map((b) =>
    JSON.stringify({
      Group: b.group,
      Version: b.version,
      Kind: b.kind,
      Text: b.text,
      Patch: b.patch,
    }),
  );
  const output = execFileSync(program, { input: `${input.join('\n')}\n`, maxBuffer: 1 << 28 });
  const answers = output
    .toString()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  const cases = bodies.map((body, i) => ({ ...body, answer: answers[i] }));
  const text = JSON.stringify({ source: `${api.name} ${api.version} ${api.sum}`, cases });
  const path = join(import.meta.dirname, '../testdata/answers.gen.json.gz');
  writeFileSync(path, gzipSync(text, { level: 9 }));
  console.log(`recorded ${cases.length} answers`);
} finally {
  rmSync(folder, { recursive: true });
}
