/** What the commands of `bareboat` share: where words go, how a machine is reached, options that recur. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { parseEndpoint } from '#base/client-config.ts';
import type { ProtocolClient } from '#base/protocol/protocol.ts';
import { type ConnectOptions, connect, connectInsecure } from './connect.ts';
import { UsageError } from './files.ts';

export interface CliIo {
  readonly out: (text: string) => void;
  /** Bytes as they come, e.g. of a log. */
  readonly write: (bytes: Uint8Array) => void;
  /** Progress and notes, for people. */
  readonly note: (text: string) => void;
  readonly nowMs: () => number;
  readonly signal: AbortSignal;
}

/** Options of commands that a machine in maintenance mode answers. */
export interface MaintenanceOptions {
  readonly insecure?: boolean;
  readonly fingerprint?: string;
}

export interface Cli {
  readonly program: Command;
  readonly io: CliIo;
  /** Runs `use` on a connection to the machine that the command line means. */
  readonly withClient: (
    use: (client: ProtocolClient) => Promise<void>,
    maintenance?: MaintenanceOptions,
  ) => Promise<void>;
}

export function makeCli(program: Command, io: CliIo): Cli {
  program
    .option('--config <file>', 'client configuration (default: ./bareboat.yaml)')
    .option('--context <name>', 'context of the client configuration, in place of the current one')
    .option('--endpoint <host:port>', 'machine to talk to', endpointText);
  const withClient: Cli['withClient'] = async (use, maintenance = {}) => {
    await using client = await openClient(program.opts<ConnectOptions>(), maintenance);
    await use(client);
  };
  return { program, io, withClient };
}

function openClient(at: ConnectOptions, options: MaintenanceOptions): Promise<ProtocolClient> {
  if (options.insecure !== true) {
    if (options.fingerprint === undefined) return connect(at);
    throw new UsageError('--fingerprint goes with --insecure');
  }
  if (at.endpoint === undefined || options.fingerprint === undefined) {
    throw new UsageError(
      '--insecure needs --endpoint and the --fingerprint that the console shows',
    );
  }
  return connectInsecure(at.endpoint, options.fingerprint);
}

/** Adds --insecure and --fingerprint. */
export function maintenanceOptions(command: Command): Command {
  return command
    .option('--insecure', 'the machine is in maintenance mode')
    .option('--fingerprint <sha256>', 'with --insecure: as the console shows it');
}

export function outputOption(): Option {
  return new Option('-o, --output <format>', 'format')
    .choices(['table', 'json', 'yaml'])
    .default('table');
}

/** Parses an endpoint for commander. */
export function endpointText(text: string): string {
  if (parseEndpoint(text) !== undefined) return text;
  throw new InvalidArgumentError('Expected HOST, HOST:PORT or [IPv6]:PORT.');
}

/** Parses a whole number from 1 to `max` for commander. */
export function countUpTo(max: number): (text: string) => number {
  return (text) => {
    const count = /^\d+$/.test(text) ? Number(text) : 0;
    if (count >= 1 && count <= max) return count;
    throw new InvalidArgumentError(`Expected a whole number from 1 to ${max}.`);
  };
}

export async function* one<T>(value: T): AsyncGenerator<T> {
  yield value;
}
