/** Commands that read what a machine wrote down: logs of processes, the kernel's, events. */
import type { Command } from 'commander';
import { type Event, type LogChunk, Machine } from '#base/protocol/bareboat.gen.ts';
import type { Method } from '#base/protocol/protocol.ts';
import { type Format, formatDocument } from './output.ts';
import {
  type Cli,
  countUpTo,
  type MaintenanceOptions,
  maintenanceOptions,
  one,
  outputOption,
} from './program.ts';

const UINT32_MAX = 2 ** 32 - 1;
const EVENTS_SHOWN = 100;

interface FollowOptions {
  readonly follow: boolean;
  readonly tail?: number;
}

export function addLogs(cli: Cli): void {
  const { program, io, withClient } = cli;
  const show = (
    method: Method<{ service: string; follow: boolean; tail: number }, LogChunk>,
    service: string,
    { follow, tail }: FollowOptions,
  ) =>
    withClient(async (client) => {
      const request = { service, follow, tail: tail ?? 0 };
      for await (const { data } of client.stream(method, one(request), io.signal)) io.write(data);
    });
  followOptions(program.command('logs <service>'))
    .description("the log of one of the machine's processes, or `audit`: the API server's")
    .action((service: string, options: FollowOptions) => show(Machine.ReadLog, service, options));
  followOptions(program.command('dmesg'))
    .description("the kernel's log")
    .action((options: FollowOptions) => show(Machine.ReadKernelLog, '', options));
  addEvents(cli);
}

function followOptions(command: Command): Command {
  return command
    .option('-f, --follow', 'go on with what comes', false)
    .option('--tail <lines>', 'lines from the end', countUpTo(UINT32_MAX));
}

function addEvents({ program, io, withClient }: Cli): void {
  maintenanceOptions(followOptions(program.command('events')))
    .description(`what happened on the machine (the last ${EVENTS_SHOWN}, unless --tail says more)`)
    .addOption(outputOption())
    .action((options: FollowOptions & MaintenanceOptions & { output: Format }) =>
      withClient(async (client) => {
        const { follow, tail = EVENTS_SHOWN, output } = options;
        const request = { tail, follow };
        for await (const event of client.stream(Machine.WatchEvents, one(request), io.signal)) {
          io.out(output === 'table' ? eventLine(event) : formatDocument(output, event));
        }
      }, options),
    );
}

function eventLine({ atMs, level, source, message }: Event): string {
  return `${new Date(atMs).toISOString()} ${level} ${source}: ${message}`;
}
