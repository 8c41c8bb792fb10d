/** Commands about a machine's configuration: apply, get, validate, and those that start its cluster. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { parse } from 'yaml';
import { parseClusterSecrets, parseMachineConfig } from '#base/machine-config.ts';
import { Machine } from '#base/protocol/bareboat.gen.ts';
import { parseInput, readInput, writeSecretFile } from './files.ts';
import { type Format, formatValue } from './output.ts';
import { type Cli, type MaintenanceOptions, maintenanceOptions, outputOption } from './program.ts';

interface ApplyOptions extends MaintenanceOptions {
  readonly secrets?: string;
  readonly mode: string;
  readonly output: Format;
}

/** Returns `bareboat config`, to which others add. */
export function addConfig(cli: Cli): Command {
  const { program, io, withClient } = cli;
  const config = program
    .command('config')
    .description('configuration of a machine, and of this client');
  maintenanceOptions(config.command('apply <file>'))
    .description('check a configuration and put it in force')
    .option('--secrets <file>', "the cluster's secrets: needed the first time")
    .addOption(
      new Option('--mode <mode>', 'when').choices(['live', 'next-boot', 'dry-run']).default('live'),
    )
    .addOption(outputOption())
    .action((file: string, options: ApplyOptions) => apply(cli, file, options));
  config
    .command('get')
    .description('the configuration in force')
    .addOption(
      new Option('-o, --output <format>', 'format').choices(['yaml', 'json']).default('yaml'),
    )
    .action(({ output }: { output: 'yaml' | 'json' }) =>
      withClient(async (client) => {
        const { yaml } = await client.call(Machine.GetConfig, {}, io.signal);
        io.out(output === 'yaml' ? yaml.trimEnd() : formatValue('json', parse(yaml)));
      }),
    );
  config
    .command('validate <file>')
    .description('check a configuration without a machine')
    .action((file: string) => {
      parseInput(file, parseMachineConfig);
      io.note(`${file} is valid`);
    });
  addCluster(cli);
  return config;
}

async function apply({ io, withClient }: Cli, file: string, options: ApplyOptions): Promise<void> {
  const yaml = readInput(file);
  parseInput(file, parseMachineConfig);
  const secrets = options.secrets === undefined ? '' : readInput(options.secrets);
  if (options.secrets !== undefined) parseInput(options.secrets, parseClusterSecrets);
  await withClient(async (client) => {
    const request = { yaml, secrets, mode: options.mode };
    const result = await client.call(Machine.ApplyConfig, request, io.signal);
    if (options.output !== 'table') {
      io.out(formatValue(options.output, result));
      return;
    }
    const { effect, warnings, diff } = result;
    for (const warning of warnings) io.note(`warning: ${warning}`);
    if (diff !== '') io.out(diff.trimEnd());
    io.note(effect === 'none' ? 'nothing was changed' : `applied (${effect})`);
  }, options);
}

function addCluster({ program, io, withClient }: Cli): void {
  program
    .command('bootstrap')
    .description('start the cluster on this machine: once in its life')
    .action(() =>
      withClient(async (client) => {
        await client.call(Machine.Bootstrap, {}, io.signal);
        io.note('bootstrapped');
      }),
    );
  program
    .command('kubeconfig')
    .description('credentials of a cluster administrator, for kubectl')
    .option('--server <url>', "API server's address (default: the machine's)", serverUrl, '')
    .option('--output <file>', 'write to a file')
    .action((options: { server: string; output?: string }) =>
      withClient(async (client) => {
        const { server } = options;
        const { yaml } = await client.call(Machine.GetKubeconfig, { server }, io.signal);
        if (options.output === undefined) io.out(yaml.trimEnd());
        else writeSecretFile(options.output, yaml);
      }),
    );
}

/** Parses an address of an API server for commander. */
function serverUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === 'https:' && url.host !== '') return text;
  throw new InvalidArgumentError('Expected https://HOST:PORT.');
}
