/**
 * Derives etcd.gen.ts from etcd.proto: an interface for each message as it is decoded, a descriptor
 * for each method, enums, and the schema as data, so that run time needs no parser. `--check` compares.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import protobuf from 'protobufjs';

const SCALARS: Readonly<Record<string, string>> = {
  bool: 'boolean',
  bytes: 'Uint8Array',
  int64: 'Long',
  string: 'string',
  uint64: 'Long',
};

const source = join(import.meta.dirname, 'etcd.proto');
const target = join(import.meta.dirname, 'etcd.gen.ts');
const { root } = protobuf.parse(readFileSync(source, 'utf8'), { keepCase: false });
root.resolveAll();
const text = generate(root.lookup('etcdserverpb') as protobuf.Namespace, root); // The package.
if (process.argv.includes('--check')) {
  if (readFileSync(target, 'utf8') !== text) {
    console.error('control/store/etcd/etcd.gen.ts is out of date: run make gen');
    process.exitCode = 1;
  }
} else writeFileSync(target, text);

function generate(namespace: protobuf.Namespace, all: protobuf.Root): string {
  const lines = [
    '// Generated from control/store/etcd/etcd.proto by control/store/etcd/generate.ts. Do not edit.',
    "import type { Long, Method } from './rpc.ts';",
  ];
  for (const member of namespace.nestedArray) {
    if (member instanceof protobuf.Type) lines.push('', ...messageLines(member));
    if (member instanceof protobuf.Service) lines.push('', ...serviceLines(member));
  }
  const schema = JSON.stringify(all.toJSON({ keepComments: false }));
  lines.push('', `export const schema = ${schema} as const;`, '');
  return lines.join('\n');
}

function messageLines(type: protobuf.Type): string[] {
  const enums = type.nestedArray.filter((member) => member instanceof protobuf.Enum);
  const fields = type.fieldsArray.map((field) => {
    const kind = field.resolvedType;
    const name = kind instanceof protobuf.Enum ? 'number' : (SCALARS[field.type] ?? field.type);
    if (field.repeated) return `  ${field.name}: ${name}[];`;
    const mayMiss = kind instanceof protobuf.Type || field.partOf !== null;
    return `  ${field.name}: ${name}${mayMiss ? ' | null' : ''};`;
  });
  return [
    ...enums.map((e) => `export const ${e.name} = ${JSON.stringify(e.values)} as const;`),
    `export interface ${type.name} {`,
    ...fields,
    '}',
  ];
}

function serviceLines(service: protobuf.Service): string[] {
  const methods = service.methodsArray.map((method) => {
    const facts = {
      path: `/etcdserverpb.${service.name}/${method.name}`,
      request: method.requestType,
      response: method.responseType,
    };
    const type = `Method<${method.requestType}, ${method.responseType}>`;
    return `  ${method.name}: ${JSON.stringify(facts)} as ${type},`;
  });
  return [`export const ${service.name} = {`, ...methods, '};'];
}
