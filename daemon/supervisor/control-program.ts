/** Control's own program, run by the supervisor for what is done to a store that nobody runs. */
import { spawn } from 'node:child_process';
import * as z from 'zod';
import { must } from '#base/assert.ts';
import { ProtocolError } from '#base/protocol/frames.ts';
import type { ProtocolErrorCode } from '#base/protocol/frames.ts';
import { PLACES, UNIT_SPECS } from './unit-specs.ts';

export interface ControlProgram {
  /** Control's directory on STORE. */
  readonly dir: string;
  readonly configFile: string;
  readonly uid: number;
  readonly program: string;
  /** Without the configuration. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

export function controlProgram(): ControlProgram {
  const { argv, env, uid } = must(
    UNIT_SPECS.find(({ name }) => name === 'control'),
    'control is a unit',
  );
  const [program, ...args] = argv;
  const configFile = must(args.at(-1), 'its configuration is the last argument');
  return { dir: PLACES.control, configFile, uid, program, args: args.slice(0, -1), env };
}

const CODES: Readonly<Record<string, ProtocolErrorCode>> = {
  CORRUPT: 'INVALID_ARGUMENT',
  UNSUPPORTED: 'INVALID_ARGUMENT',
  INVALID_REQUEST: 'FAILED_PRECONDITION',
  UNAVAILABLE: 'UNAVAILABLE',
  NO_SPACE: 'RESOURCE_EXHAUSTED',
};

const refusal = z.object({ code: z.string(), message: z.string() });

/** Resolves to what it says, one line of JSON. Throws ProtocolError for a refusal, or what makes no sense. */
export async function runControl<T>(
  { program, args, env, uid }: ControlProgram,
  own: readonly string[],
  schema: z.ZodType<T>,
): Promise<T> {
  const child = spawn(program, [...args, ...own], {
    cwd: '/',
    uid,
    gid: uid,
    env: { ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const answers: string[] = [];
  const warnings: string[] = [];
  child.stdout.setEncoding('utf8').on('data', (text: string) => answers.push(text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => warnings.push(text));
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', () => resolve());
  });
  const line = lastLine(answers.join('') || warnings.join(''));
  const said = parse(line);
  const answer = schema.safeParse(said);
  if (answer.success) return answer.data;
  const refused = refusal.safeParse(said);
  if (!refused.success) throw new ProtocolError('INTERNAL', `control's program said: ${line}`);
  const { code, message } = refused.data;
  throw new ProtocolError(CODES[code] ?? 'INTERNAL', message, { details: { reason: code } });
}

function lastLine(text: string): string {
  return text.trimEnd().split('\n').at(-1) ?? '';
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
