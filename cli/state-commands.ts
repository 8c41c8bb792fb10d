/** Commands that show how a machine is, and those that end it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  Machine,
  type MachineStatus,
  type ServiceStatus,
  type Version,
} from '#base/protocol/bareboat.gen.ts';
import { type Column, type Format, formatBytes, formatPairs, formatRows } from './output.ts';
import { formatSeconds, formatValue } from './output.ts';
import { type Cli, type MaintenanceOptions, maintenanceOptions, outputOption } from './program.ts';

export function addState(cli: Cli): void {
  addVersion(cli);
  addStatus(cli);
  addServices(cli);
  addPower(cli);
}

function addVersion({ program, io, withClient }: Cli): void {
  maintenanceOptions(program.command('version'))
    .description('versions of this program and of the machine')
    .option('--client', 'of this program only', false)
    .addOption(outputOption())
    .action((options: MaintenanceOptions & { client: boolean; output: Format }) => {
      const client = { version: ownVersion() };
      const show = (machine?: Version) => {
        if (options.output !== 'table') {
          io.out(
            formatValue(options.output, { client, ...(machine !== undefined && { machine }) }),
          );
        } else if (machine !== undefined)
          io.out(formatPairs({ client: client.version, ...machine }));
        else io.out(formatPairs({ client: client.version }));
      };
      if (options.client) return show();
      return withClient(
        async (connection) => show(await connection.call(Machine.GetVersion, {}, io.signal)),
        options,
      );
    });
}

function ownVersion(): string {
  const text = readFileSync(join(import.meta.dirname, '../package.json'), 'utf8');
  const { version } = JSON.parse(text) as { version: string }; // Our own file.
  return version;
}

function addStatus({ program, io, withClient }: Cli): void {
  maintenanceOptions(program.command('status'))
    .description('how the machine is, and what keeps it from running')
    .addOption(outputOption())
    .action((options: MaintenanceOptions & { output: Format }) =>
      withClient(async (client) => {
        const status = await client.call(Machine.GetStatus, {}, io.signal);
        io.out(
          options.output === 'table' ? statusTable(status) : formatValue(options.output, status),
        );
      }, options),
    );
}

function statusTable(status: MachineStatus): string {
  const { disks, blockedBy, memoryTotalBytes, memoryAvailableBytes, uptimeSeconds, ...rest } =
    status;
  const pairs = formatPairs({
    ...rest,
    uptime: formatSeconds(uptimeSeconds),
    memory: `${formatBytes(memoryAvailableBytes)} available of ${formatBytes(memoryTotalBytes)}`,
    ...Object.fromEntries(
      disks.map((disk) => [
        `volume ${disk.name}`,
        `${formatBytes(disk.freeBytes)} free of ${formatBytes(disk.sizeBytes)}`,
      ]),
    ),
  });
  return [pairs, ...blockedBy.map((reason) => `blocked by: ${reason}`)].join('\n');
}

const SERVICE_COLUMNS: readonly Column<ServiceStatus>[] = [
  { title: 'NAME', value: (s) => s.name },
  { title: 'STATE', value: (s) => s.state },
  { title: 'PID', value: (s) => (s.pid === 0 ? '-' : String(s.pid)) },
  { title: 'RESTARTS', value: (s) => String(s.restarts) },
  { title: 'RUNNING', value: (s) => formatSeconds(s.runningSeconds) },
  { title: 'MEMORY', value: (s) => formatBytes(s.memoryBytes) },
  { title: 'LAST EXIT', value: (s) => s.lastExit || '-' },
];

function addServices({ program, io, withClient }: Cli): void {
  program
    .command('services')
    .description("the machine's processes")
    .addOption(outputOption())
    .action(({ output }: { output: Format }) =>
      withClient(async (client) => {
        const { services } = await client.call(Machine.ListServices, {}, io.signal);
        io.out(formatRows(output, services, { columns: SERVICE_COLUMNS, value: services }));
      }),
    );
}

function addPower({ program, io, withClient }: Cli): void {
  const add = (name: string, description: string, method: typeof Machine.Reboot, note: string) =>
    program
      .command(name)
      .description(description)
      .action(() =>
        withClient(async (client) => {
          await client.call(method, {}, io.signal);
          io.note(note);
        }),
      );
  add('reboot', 'end everything in order and start again', Machine.Reboot, 'restarting');
  add('shutdown', 'end everything in order and power off', Machine.Shutdown, 'powering off');
}
