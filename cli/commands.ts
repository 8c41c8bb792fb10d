/** The commands of `bareboat`, each a call or two of the machine API. */
import { createReadStream, readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { Command, Option } from 'commander';
import { parseClusterSecrets, parseMachineConfig } from '#base/machine-config.ts';
import { type Chunk, Images, Machine, type LogChunk } from '#base/protocol/bareboat.gen.ts';
import type { Method, ProtocolClient } from '#base/protocol/protocol.ts';
import { type ConnectOptions, connect, connectInsecure, UsageError } from './connect.ts';
import { init } from './init.ts';
import { type Format, formatBytes, formatRows, formatSeconds, formatValue } from './output.ts';

const IMPORT_CHUNK_BYTES = 256 * 1024;

export interface CliIo {
  readonly out: (text: string) => void;
  /** Progress and notes, for people. */
  readonly note: (text: string) => void;
  readonly nowMs: () => number;
  readonly signal: AbortSignal;
}

/** The program; `io` is where its words go. */
export function bareboat(io: CliIo): Command {
  const program = new Command('bareboat')
    .description('manages Bareboat machines through their API')
    .option('--config <file>', 'client configuration (default: ./bareboat.yaml)')
    .option('--endpoint <host:port>', 'machine to talk to')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.out(text.trimEnd()),
      writeErr: (text) => io.note(text.trimEnd()),
    });
  const withClient = async (run: (client: ProtocolClient) => Promise<void>) => {
    await using client = await connect(program.opts<ConnectOptions>());
    await run(client);
  };
  addInit(program, io);
  addConfig(program, io, withClient);
  addState(program, io, withClient);
  addLogs(program, io, withClient);
  addImages(program, io, withClient);
  addPower(program, io, withClient);
  return program;
}

type WithClient = (run: (client: ProtocolClient) => Promise<void>) => Promise<void>;

function outputOption(): Option {
  return new Option('-o, --output <format>', 'format')
    .choices(['table', 'json', 'yaml'])
    .default('table');
}

function addInit(program: Command, io: CliIo): void {
  program
    .command('init')
    .description("make a cluster's secrets, the first machine's configuration and the client's")
    .requiredOption('--cluster <name>', 'name of the cluster')
    .requiredOption('--node <name>', 'name of the first node')
    .option('--output <dir>', 'where to write the files', '.')
    .option('--force', 'replace files that exist', false)
    .action(async (options: { cluster: string; node: string; output: string; force: boolean }) => {
      const { endpoint } = program.opts<ConnectOptions>();
      const files = await init({ ...options, endpoint }, io.nowMs());
      io.note(`written: ${files.join(', ')}`);
      io.note('keep secrets.yaml safe: whoever has it owns the cluster');
    });
}

interface ApplyOptions {
  readonly secrets?: string;
  readonly mode: string;
  readonly insecure: boolean;
  readonly fingerprint?: string;
}

function addConfig(program: Command, io: CliIo, withClient: WithClient): void {
  const config = program.command('config').description('configuration of a machine');
  config
    .command('apply <file>')
    .description('check a configuration and put it in force')
    .option('--secrets <file>', "the cluster's secrets: needed the first time")
    .addOption(
      new Option('--mode <mode>', 'when').choices(['live', 'next-boot', 'dry-run']).default('live'),
    )
    .option('--insecure', 'the machine is in maintenance mode', false)
    .option('--fingerprint <sha256>', 'with --insecure: as the console shows it')
    .action(async (file: string, options: ApplyOptions) => {
      const yaml = readFileSync(file, 'utf8');
      parseMachineConfig(yaml);
      const secrets = options.secrets === undefined ? '' : readFileSync(options.secrets, 'utf8');
      if (secrets !== '') parseClusterSecrets(secrets);
      const apply = async (client: ProtocolClient) => {
        const request = { yaml, secrets, mode: options.mode };
        const { effect, warnings, diff } = await client.call(
          Machine.ApplyConfig,
          request,
          io.signal,
        );
        for (const warning of warnings) io.note(`warning: ${warning}`);
        if (diff !== '') io.out(diff.trimEnd());
        io.note(effect === 'none' ? 'nothing was changed' : `applied (${effect})`);
      };
      if (!options.insecure) return withClient(apply);
      const { endpoint } = program.opts<ConnectOptions>();
      if (endpoint === undefined || options.fingerprint === undefined) {
        throw new UsageError(
          '--insecure needs --endpoint and the --fingerprint that the console shows',
        );
      }
      await using client = await connectInsecure(endpoint, options.fingerprint);
      await apply(client);
    });
  config
    .command('get')
    .description('the configuration in force')
    .action(() =>
      withClient(async (client) => {
        const { yaml } = await client.call(Machine.GetConfig, {}, io.signal);
        io.out(yaml.trimEnd());
      }),
    );
  config
    .command('validate <file>')
    .description('check a configuration without a machine')
    .action((file: string) => {
      parseMachineConfig(readFileSync(file, 'utf8'));
      io.note(`${file} is valid`);
    });
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
    .option('--server <url>', "API server's address (default: the machine's)", '')
    .option('--output <file>', 'write to a file')
    .action((options: { server: string; output?: string }) =>
      withClient(async (client) => {
        const { yaml } = await client.call(
          Machine.GetKubeconfig,
          { server: options.server },
          io.signal,
        );
        if (options.output === undefined) io.out(yaml.trimEnd());
        else writeFileSync(options.output, yaml, { mode: 0o600 });
      }),
    );
}

function addState(program: Command, io: CliIo, withClient: WithClient): void {
  program
    .command('version')
    .description('versions of this program and of the machine')
    .addOption(outputOption())
    .action(({ output }: { output: Format }) =>
      withClient(async (client) => {
        const version = await client.call(Machine.GetVersion, {}, io.signal);
        io.out(output === 'table' ? pairs(version) : formatValue(output, version));
      }),
    );
  program
    .command('status')
    .description('how the machine is, and what keeps it from running')
    .addOption(outputOption())
    .action(({ output }: { output: Format }) =>
      withClient(async (client) => {
        const status = await client.call(Machine.GetStatus, {}, io.signal);
        if (output !== 'table') {
          io.out(formatValue(output, status));
          return;
        }
        const { disks, blockedBy, memoryTotalBytes, memoryAvailableBytes, uptimeSeconds, ...rest } =
          status;
        io.out(
          pairs({
            ...rest,
            uptime: formatSeconds(uptimeSeconds),
            memory: `${formatBytes(memoryAvailableBytes)} available of ${formatBytes(memoryTotalBytes)}`,
            ...Object.fromEntries(
              disks.map((d) => [
                `volume ${d.name}`,
                `${formatBytes(d.freeBytes)} free of ${formatBytes(d.sizeBytes)}`,
              ]),
            ),
          }),
        );
        for (const reason of blockedBy) io.out(`blocked by: ${reason}`);
      }),
    );
  program
    .command('services')
    .description("the machine's processes")
    .addOption(outputOption())
    .action(({ output }: { output: Format }) =>
      withClient(async (client) => {
        const { services } = await client.call(Machine.ListServices, {}, io.signal);
        const columns = [
          { title: 'NAME', value: (s: (typeof services)[number]) => s.name },
          { title: 'STATE', value: (s: (typeof services)[number]) => s.state },
          {
            title: 'PID',
            value: (s: (typeof services)[number]) => (s.pid === 0 ? '-' : String(s.pid)),
          },
          { title: 'RESTARTS', value: (s: (typeof services)[number]) => String(s.restarts) },
          {
            title: 'RUNNING',
            value: (s: (typeof services)[number]) => formatSeconds(s.runningSeconds),
          },
          { title: 'MEMORY', value: (s: (typeof services)[number]) => formatBytes(s.memoryBytes) },
          { title: 'LAST EXIT', value: (s: (typeof services)[number]) => s.lastExit || '-' },
        ];
        io.out(formatRows(output, services, { columns, value: services }));
      }),
    );
}

interface FollowOptions {
  readonly follow: boolean;
  readonly tail: number;
}

function addLogs(program: Command, io: CliIo, withClient: WithClient): void {
  const follow = (command: Command) =>
    command
      .option('-f, --follow', 'go on with what comes', false)
      .option('--tail <lines>', 'lines from the end', Number, 0);
  const show = async (
    client: ProtocolClient,
    method: Method<{ service: string; follow: boolean; tail: number }, LogChunk>,
    request: { service: string } & FollowOptions,
  ) => {
    for await (const { data } of client.stream(method, one(request), io.signal)) {
      process.stdout.write(data);
    }
  };
  follow(
    program.command('logs <service>').description("the log of one of the machine's processes"),
  ).action((service: string, options: FollowOptions) =>
    withClient((client) => show(client, Machine.ReadLog, { service, ...options })),
  );
  follow(program.command('dmesg').description("the kernel's log")).action(
    (options: FollowOptions) =>
      withClient((client) => show(client, Machine.ReadKernelLog, { service: '', ...options })),
  );
  follow(program.command('events').description('what happened on the machine'))
    .addOption(outputOption())
    .action((options: FollowOptions & { output: Format }) =>
      withClient(async (client) => {
        const request = { tail: options.tail === 0 ? 100 : options.tail, follow: options.follow };
        for await (const event of client.stream(Machine.WatchEvents, one(request), io.signal)) {
          const at = new Date(event.atMs).toISOString();
          if (options.output === 'table')
            io.out(`${at} ${event.level} ${event.source}: ${event.message}`);
          else io.out(formatValue(options.output, event));
        }
      }),
    );
}

function addImages(program: Command, io: CliIo, withClient: WithClient): void {
  const image = program.command('image').description('container images of the machine');
  image
    .command('import <files...>')
    .description('import docker-save or OCI archives')
    .action((files: string[]) =>
      withClient(async (client) => {
        for (const file of files) {
          const requests = archiveChunks(file, io);
          for await (const { names } of client.stream(Images.Import, requests, io.signal)) {
            io.note(`imported ${names.join(' ')}`);
          }
        }
      }),
    );
  image
    .command('list')
    .description('images that are there')
    .addOption(outputOption())
    .action(({ output }: { output: Format }) =>
      withClient(async (client) => {
        const { images } = await client.call(Images.List, {}, io.signal);
        const columns = [
          { title: 'IMAGE', value: (i: (typeof images)[number]) => i.tags.join(', ') || '<none>' },
          { title: 'ID', value: (i: (typeof images)[number]) => i.id.slice(0, 19) },
          { title: 'SIZE', value: (i: (typeof images)[number]) => formatBytes(i.sizeBytes) },
        ];
        io.out(formatRows(output, images, { columns, value: images }));
      }),
    );
}

function addPower(program: Command, io: CliIo, withClient: WithClient): void {
  program
    .command('reboot')
    .description('end everything in order and start again')
    .action(() =>
      withClient(async (client) => {
        await client.call(Machine.Reboot, {}, io.signal);
        io.note('restarting');
      }),
    );
  program
    .command('shutdown')
    .description('end everything in order and power off')
    .action(() =>
      withClient(async (client) => {
        await client.call(Machine.Shutdown, {}, io.signal);
        io.note('powering off');
      }),
    );
}

/** Tells progress at each tenth of the file. */
async function* archiveChunks(file: string, io: CliIo): AsyncGenerator<Chunk> {
  const { size } = statSync(file);
  let sent = 0;
  let told = 0;
  for await (const data of createReadStream(file, { highWaterMark: IMPORT_CHUNK_BYTES })) {
    yield { data };
    sent += data.length;
    const tenths = Math.floor((sent * 10) / size);
    if (tenths > told && size > 10 * IMPORT_CHUNK_BYTES) {
      told = tenths;
      io.note(`${basename(file)}: ${formatBytes(sent)} of ${formatBytes(size)}`);
    }
  }
}

async function* one<T>(value: T): AsyncGenerator<T> {
  yield value;
}

/** `key: value` lines, keys as words. */
function pairs(values: object): string {
  const rows = Object.entries(values).map(([key, value]) => {
    const words = key.replaceAll(/(?<=[a-z])[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
    return [words, Array.isArray(value) ? value.join(', ') : String(value)] as const;
  });
  const width = Math.max(...rows.map(([key]) => key.length));
  return rows
    .map(([key, value]) => `${`${key}:`.padEnd(width + 2)}${value === '' ? '-' : value}`)
    .join('\n');
}
