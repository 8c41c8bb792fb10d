/**
 * Lifecycle hooks: postStart and preStop, by exec, HTTP GET or sleep. An HTTP answer of any status
 * counts as done, as upstream has it; only a request that fails is a failure.
 */
import type { Clock } from '#base/clock.ts';
import type { LifecycleHandler } from '#base/kube/api/core-v1.gen.ts';
import type { ContainerRuntime } from '../../runtime/port.ts';
import { headersOf, httpGet, urlOf } from '../probe/http-request.ts';
import type { ProbeTarget } from '../probe/prober.ts';

export class HookError extends Error {
  override readonly name = 'HookError';
}

/** Resolves when the hook is done; throws when it failed. */
export async function runHook(
  io: { readonly runtime: ContainerRuntime; readonly clock: Clock },
  hook: LifecycleHandler,
  { target, signal }: { target: ProbeTarget; signal: AbortSignal },
): Promise<void> {
  if (hook.exec !== undefined) {
    const argv = hook.exec.command ?? [];
    const done = await io.runtime.execSync(target.containerId, argv, signal);
    if (done.exitCode === 0) return;
    const output = Buffer.concat([done.stdout, done.stderr]).toString('utf8').slice(0, 1024);
    throw new HookError(`command '${argv.join(' ')}' exited with ${done.exitCode}: ${output}`);
  }
  if (hook.httpGet !== undefined) {
    const headers = headersOf(hook.httpGet, 'kube-lifecycle/1.36');
    await httpGet(urlOf(hook.httpGet, target), headers, signal);
    return;
  }
  if (hook.sleep !== undefined) {
    await io.clock.sleep(hook.sleep.seconds * 1000, signal);
    return;
  }
  throw new HookError('invalid handler: names no action');
}
