/**
 * Commands about the client's own configuration: several clusters in one file, and credentials for others.
 * The words are kubectl's (contexts, use-context) and talosctl's (endpoint, merge, new).
 */
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { type Command, Option } from 'commander';
import {
  type ClientConfig,
  contextOf,
  formatClientConfig,
  parseClientConfig,
} from '#base/client-config.ts';
import { parseClusterSecrets } from '#base/machine-config.ts';
import { issueLeaf } from '#base/pki/pki.ts';
import type { Role } from '#base/protocol/protocol.ts';
import { clientConfigPath, type ConnectOptions, ownClientConfigPath } from './connect.ts';
import { makeDirectory, parseInput, UsageError, writeSecretFile } from './files.ts';
import { type Format, formatRows } from './output.ts';
import { type Cli, countUpTo, endpointText, outputOption } from './program.ts';

const DAY_MS = 24 * 3600 * 1000;
/** Ten years, as long as the machine CA that `init` makes. */
const DAYS_MAX = 3650;

/** Adds to `bareboat config`. */
export function addClientConfig(cli: Cli, config: Command): void {
  const { program, io } = cli;
  const given = () => program.opts<ConnectOptions>();
  const change = (run: (old: ClientConfig) => ClientConfig) => {
    const path = clientConfigPath(given().config);
    const config = parseInput(path, (text) => run(parseClientConfig(text)));
    writeSecretFile(path, formatClientConfig(config));
  };
  config
    .command('contexts')
    .description('clusters that the client configuration knows')
    .addOption(outputOption())
    .action(({ output }: { output: Format }) => showContexts(cli, output));
  config
    .command('use-context <name>')
    .description('make a context the current one')
    .action((name: string) => {
      change((old) => {
        contextOf(old, name);
        return { ...old, currentContext: name };
      });
      io.note(`current context: ${name}`);
    });
  config
    .command('endpoint <endpoints...>')
    .description('set the machines of a context, tried in order')
    .action((endpoints: string[]) => {
      for (const endpoint of endpoints) checkEndpoint(endpoint);
      change((old) => {
        const name = given().context ?? old.currentContext;
        const context = { ...contextOf(old, name), endpoints };
        return { ...old, contexts: { ...old.contexts, [name]: context } };
      });
      io.note(`endpoints: ${endpoints.join(', ')}`);
    });
  config
    .command('merge <file>')
    .description(
      "take a file's contexts into your own: --config, or ~/.config/bareboat/config.yaml",
    )
    .option('--force', 'replace contexts that exist', false)
    .action((file: string, { force }: { force: boolean }) => {
      const added = parseInput(file, parseClientConfig);
      const path = ownClientConfigPath(given().config);
      const result = existsSync(path)
        ? parseInput(path, (text) => merge(parseClientConfig(text), added, force))
        : added;
      makeDirectory(dirname(path));
      writeSecretFile(path, formatClientConfig(result));
      io.note(`${path} has the contexts ${Object.keys(result.contexts).join(', ')}`);
    });
  addNew(cli, config);
}

function checkEndpoint(text: string): void {
  try {
    endpointText(text);
  } catch (error) {
    throw new UsageError(`endpoint ${text}: expected HOST, HOST:PORT or [IPv6]:PORT`, {
      cause: error,
    });
  }
}

/** Throws UsageError when both have a context of one name, unless forced. */
function merge(old: ClientConfig, added: ClientConfig, force: boolean): ClientConfig {
  const taken = Object.keys(added.contexts).filter((name) => Object.hasOwn(old.contexts, name));
  if (taken.length > 0 && !force) {
    throw new UsageError(`context ${taken.join(', ')} exists already: --force replaces it`);
  }
  return { ...old, contexts: { ...old.contexts, ...added.contexts } };
}

function showContexts({ program, io }: Cli, output: Format): void {
  const path = clientConfigPath(program.opts<ConnectOptions>().config);
  const { contexts, currentContext } = parseInput(path, parseClientConfig);
  const rows = Object.entries(contexts).map(([name, { endpoints }]) => ({
    name,
    endpoints,
    current: name === currentContext,
  }));
  type Row = (typeof rows)[number];
  const columns = [
    { title: 'CURRENT', value: (row: Row) => (row.current ? '*' : '') },
    { title: 'NAME', value: (row: Row) => row.name },
    { title: 'ENDPOINTS', value: (row: Row) => row.endpoints.join(', ') || '-' },
  ];
  io.out(formatRows(output, rows, { columns, value: rows }));
}

interface NewOptions {
  readonly secrets: string;
  readonly user: string;
  readonly role: Role;
  readonly days: number;
}

function addNew({ program, io }: Cli, config: Command): void {
  config
    .command('new <file>')
    .description("make a client configuration for another user, signed with the cluster's secrets")
    .requiredOption('--secrets <file>', "the cluster's secrets")
    .requiredOption('--user <name>', 'who it is for, as the machines log it')
    .addOption(
      new Option('--role <role>', 'what the user may do')
        .choices(['reader', 'operator', 'admin'])
        .default('reader'),
    )
    .option('--days <days>', 'how long it is valid', countUpTo(DAYS_MAX), 365)
    .action(async (file: string, options: NewOptions) => {
      if (existsSync(file)) throw new UsageError(`${file} exists already`);
      const { machineCa } = parseInput(options.secrets, parseClusterSecrets);
      const { context, endpoint, config: path } = program.opts<ConnectOptions>();
      const own = ownContext(path, context);
      const client = await issueLeaf(machineCa, {
        subject: { commonName: options.user, organizations: [`bareboat:${options.role}`] },
        usages: ['client'],
        nowMs: io.nowMs(),
        lifetimeMs: options.days * DAY_MS,
      });
      const made = {
        endpoints: endpoint === undefined ? own.endpoints : [endpoint],
        ca: machineCa.certificate,
        certificate: client.certificate,
        key: client.key,
      };
      const contexts = { [own.name]: made };
      writeSecretFile(file, formatClientConfig({ version: 1, currentContext: own.name, contexts }));
      io.note(`written: ${file} (${options.user}, ${options.role}, ${options.days} days)`);
    });
}

/** Name and endpoints of the context that the new user's is to resemble. */
function ownContext(
  path: string | undefined,
  name: string | undefined,
): { name: string; endpoints: string[] } {
  const file = clientConfigPath(path);
  return parseInput(file, (text) => {
    const config = parseClientConfig(text);
    const { endpoints } = contextOf(config, name);
    return { name: name ?? config.currentContext, endpoints };
  });
}
