/**
 * Records what upstream's checks make of upstream's test pods, for pod-security.test.ts. Needs Go, and
 * compiles apimachinery: run by hand when the release changes,
 * `node control/api/pod-security/record.ts`.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const MODULE = 'k8s.io/pod-security-admission@v0.36.3';

const folder = mkdtempSync(join(tmpdir(), 'record-'));
try {
  const env = { ...process.env, GOFLAGS: '-mod=mod' };
  const download = execFileSync('go', ['mod', 'download', '-json', MODULE], { cwd: folder, env });
  const { Dir, Sum } = JSON.parse(download.toString()) as { Dir: string; Sum: string }; // Go's form.
  execFileSync('cp', ['-r', `${join(import.meta.dirname, 'record')}/.`, folder]);
  const program = join(folder, 'record-pod-security');
  execFileSync('go', ['build', '-o', program, '.'], { cwd: folder, env });
  const output = execFileSync(program, [join(Dir, 'test/testdata')], { maxBuffer: 1 << 28 });
  const lines = output.toString().trimEnd().split('\n');
  const pods: unknown[] = lines.map((line) => JSON.parse(line));
  const text = JSON.stringify({ source: `${MODULE} ${Sum}`, pods });
  writeFileSync(join(import.meta.dirname, 'recorded.gen.json.gz'), gzipSync(text, { level: 9 }));
  console.log(`recorded ${pods.length} pods`);
} finally {
  rmSync(folder, { recursive: true });
}
