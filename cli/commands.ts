/** The program `bareboat`: its commands, each a call or two of the machine API, lie in the files beside. */
import { Command } from 'commander';
import { addClientConfig } from './client-config-commands.ts';
import { addConfig } from './config-commands.ts';
import { addImages } from './image-commands.ts';
import { init } from './init.ts';
import { addLogs } from './log-commands.ts';
import { type Cli, type CliIo, makeCli } from './program.ts';
import { addState } from './state-commands.ts';
import { addStore } from './store-commands.ts';
import type { ConnectOptions } from './connect.ts';

/** `io` is where its words go. */
export function bareboat(io: CliIo): Command {
  const program = new Command('bareboat')
    .description('manages Bareboat machines through their API')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.out(text.trimEnd()),
      writeErr: (text) => io.note(text.trimEnd()),
    });
  const cli = makeCli(program, io);
  addInit(cli);
  addClientConfig(cli, addConfig(cli));
  addState(cli);
  addStore(cli);
  addLogs(cli);
  addImages(cli);
  return program;
}

function addInit({ program, io }: Cli): void {
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
