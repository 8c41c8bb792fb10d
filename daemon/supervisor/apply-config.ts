/**
 * `ApplyConfig` of the machine API: checks a configuration, saves it, puts it in force. Whatever it accepts is
 * carried out; what turns out not to work on this machine comes back as a warning that names the field.
 */
import { isErrno } from '#base/errors.ts';
import {
  type ClusterSecrets,
  ConfigError,
  formatYaml,
  type MachineConfig,
  parseClusterSecrets,
  parseMachineConfig,
} from '#base/machine-config.ts';
import type { ApplyConfigRequest, ApplyConfigResponse } from '#base/protocol/bareboat.gen.ts';
import { ProtocolError } from '#base/protocol/frames.ts';
import { lineDiff } from './diff.ts';
import { checkSecrets } from './secrets-check.ts';
import type { Supervisor } from './supervisor.ts';

const MODES = ['live', 'next-boot', 'dry-run'];

export async function applyConfig(
  supervisor: Supervisor,
  request: ApplyConfigRequest,
): Promise<ApplyConfigResponse> {
  const { state } = supervisor;
  const mode = request.mode === '' ? 'live' : request.mode;
  if (!MODES.includes(mode)) {
    throw invalid('mode', `${mode}: expected live, next-boot or dry-run`);
  }
  try {
    const config = parseMachineConfig(request.yaml);
    const secrets = parseSecrets(request.secrets);
    // Checked first: nobody who may not change the machine learns of its configuration by the diff.
    if (state.mode === 'maintenance') {
      if (secrets === undefined) {
        throw invalid('secrets', "the cluster's secrets are needed with the first configuration");
      }
      const refusal = state.refusalOf(secrets);
      if (refusal !== undefined) throw new ProtocolError('FAILED_PRECONDITION', refusal);
    }
    const old = state.config();
    checkChange(old, config, state.bootstrapped);
    const diff = lineDiff(old === undefined ? '' : formatYaml(old), formatYaml(config));
    if (mode === 'dry-run') {
      return { effect: 'none', warnings: supervisor.foreseeProblems(config), diff };
    }
    supervisor.requireState();
    save(() => {
      if (mode === 'next-boot') state.saveNext(request.yaml, secrets);
      else state.save(request.yaml, secrets);
    });
    if (mode === 'live') await supervisor.configChanged();
    const warnings = mode === 'live' ? supervisor.warnings : supervisor.foreseeProblems(config);
    return { effect: mode, warnings: [...warnings, ...renameWarnings(old, config)], diff };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw invalid(error.problems[0]?.field ?? '', error.message);
  }
}

/** A disk that is full or read-only is no fault of the configuration. */
function save(run: () => void): void {
  try {
    run();
  } catch (error) {
    if (!isErrno(error)) throw error;
    throw new ProtocolError('FAILED_PRECONDITION', `STATE takes no writes: ${error.message}`, {
      cause: error,
    });
  }
}

/** Throws ConfigError for text that is none, and for keys that do not fit. */
function parseSecrets(text: string): ClusterSecrets | undefined {
  if (text === '') return undefined;
  const secrets = parseClusterSecrets(text);
  checkSecrets(secrets);
  return secrets;
}

/** Throws ConfigError for what this version cannot do, or not any more. */
export function checkChange(
  old: MachineConfig | undefined,
  config: MachineConfig,
  bootstrapped: boolean,
): void {
  const problems: { field: string; message: string }[] = [];
  if (config.node.role === 'worker') {
    const message = 'worker: this version cannot join a control plane on another node yet';
    problems.push({ field: 'node.role', message });
  }
  for (const field of ['podCidr', 'serviceCidr'] as const) {
    const before = old?.cluster[field];
    if (!bootstrapped || before === undefined || before === config.cluster[field]) continue;
    const message = `${config.cluster[field]}: fixed as ${before} since the cluster was bootstrapped`;
    problems.push({ field: `cluster.${field}`, message });
  }
  if (problems.length > 0) throw new ConfigError(problems);
}

function renameWarnings(old: MachineConfig | undefined, config: MachineConfig): string[] {
  if (old === undefined || old.node.name === config.node.name) return [];
  const { name } = old.node;
  return [`node.name: the Node ${name} stays in the cluster until it is deleted`];
}

function invalid(field: string, message: string): ProtocolError {
  return new ProtocolError('INVALID_ARGUMENT', message, { details: { field } });
}
