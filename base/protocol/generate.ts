/**
 * Derives bareboat.gen.ts from bareboat.proto: a TypeScript interface for each message, a descriptor
 * for each method, and the schema as data, so that run time needs no parser. `--check` compares.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import protobuf from 'protobufjs';

const SCALARS: Readonly<Record<string, string>> = {
  bool: 'boolean',
  bytes: 'Uint8Array',
  double: 'number',
  string: 'string',
  uint32: 'number',
  uint64: 'number',
};

const source = join(import.meta.dirname, 'bareboat.proto');
const target = join(import.meta.dirname, 'bareboat.gen.ts');
const parsed = protobuf.parse(readFileSync(source, 'utf8'), {
  keepCase: false,
  alternateCommentMode: true,
});
const text = generate(parsed.root.lookup('bareboat.v1') as protobuf.Namespace, parsed.root); // The package.
if (process.argv.includes('--check')) {
  if (readFileSync(target, 'utf8') !== text) {
    console.error('base/protocol/bareboat.gen.ts is out of date: run make gen');
    process.exitCode = 1;
  }
} else writeFileSync(target, text);

function generate(namespace: protobuf.Namespace, root: protobuf.Root): string {
  const lines = [
    '// Generated from base/protocol/bareboat.proto by base/protocol/generate.ts. Do not edit.',
    "import type { Method } from './protocol.ts';",
  ];
  for (const member of namespace.nestedArray) {
    if (member instanceof protobuf.Type) lines.push('', ...messageLines(member));
    if (member instanceof protobuf.Service) lines.push('', ...serviceLines(member));
  }
  const schema = JSON.stringify(root.toJSON({ keepComments: false }));
  lines.push('', `export const schema = ${schema} as const;`, '');
  return lines.join('\n');
}

function messageLines(type: protobuf.Type): string[] {
  const fields = type.fieldsArray.map((field) => {
    const name = SCALARS[field.type] ?? field.type;
    return `  ${field.name}: ${field.repeated ? `${name}[]` : name};`;
  });
  return [`export interface ${type.name} {`, ...fields, '}'];
}

function serviceLines(service: protobuf.Service): string[] {
  const methods = service.methodsArray.map((method) => {
    const role = /role: (\w+)/.exec(method.comment ?? '')?.[1];
    if (role === undefined) throw new Error(`${service.name}.${method.name} has no role`);
    const facts = {
      service: service.name,
      name: method.name,
      role,
      request: method.requestType,
      response: method.responseType,
      requestStream: method.requestStream ?? false,
      responseStream: method.responseStream ?? false,
    };
    const type = `Method<${method.requestType}, ${method.responseType}>`;
    return `  ${method.name}: ${JSON.stringify(facts)} as ${type},`;
  });
  return [`export const ${service.name} = {`, ...methods, '};'];
}
