/**
 * Writes facts/rbac.gen.json: upstream's default roles and bindings, from the files that its own
 * tests compare with. Run by hand for a new release: `node control/api/bootstrap/extract-rbac.ts`;
 * needs the Go module cache (control/schema/generate/upstream.ts).
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { findModule, writeFacts } from '#control/schema/generate/upstream.ts';

const FILES = [
  'cluster-roles',
  'controller-roles',
  'cluster-role-bindings',
  'controller-role-bindings',
  'namespace-roles',
  'namespace-role-bindings',
];
const FOLDER = 'plugin/pkg/auth/authorizer/rbac/bootstrappolicy/testdata';

interface Item {
  kind: string;
  metadata: Record<string, unknown>;
}

const kubernetes = findModule('k8s.io/kubernetes');
const rows: Item[] = FILES.flatMap((file) => {
  const text = readFileSync(join(kubernetes.folder, FOLDER, `${file}.yaml`), 'utf8');
  const list: { items: Item[] } = parse(text);
  return list.items.map(({ metadata: { creationTimestamp: _, ...metadata }, ...item }) => ({
    ...item,
    metadata,
  }));
});
writeFacts(join(import.meta.dirname, 'facts/rbac.gen.json'), [kubernetes], { objects: rows });
