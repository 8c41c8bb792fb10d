/**
 * A plan while it is being made: collects operations, notices and the next time to look, and holds
 * the memory as it will be afterwards. Used by the files of this folder only; never outlives one
 * call of `planPod`.
 */
import type {
  ContainerMemory,
  Notice,
  Operation,
  Plan,
  PodMemory,
  PodView,
  Retry,
  StopMemory,
} from './model.ts';
import { operationKey } from './model.ts';

export class Draft {
  readonly view: PodView;
  readonly #start: Operation[] = [];
  readonly #cancel: string[] = [];
  readonly #notices: Notice[] = [];
  readonly #inFlight: ReadonlyMap<string, Operation>;
  #memory: PodMemory;
  #wakeAtMs: number | undefined;

  constructor(view: PodView, memory: PodMemory) {
    this.view = view;
    this.#memory = memory;
    this.#inFlight = new Map(view.inFlight.map((op) => [operationKey(op), op]));
  }

  get memory(): PodMemory {
    return this.#memory;
  }

  remember(change: Partial<PodMemory>): void {
    this.#memory = { ...this.#memory, ...change };
  }

  container(name: string): ContainerMemory {
    return this.#memory.containers[name] ?? {};
  }

  rememberContainer(name: string, change: Partial<ContainerMemory>): void {
    const containers = {
      ...this.#memory.containers,
      [name]: { ...this.container(name), ...change },
    };
    this.remember({ containers });
  }

  rememberStop(containerId: string, stop: StopMemory): void {
    this.remember({ stops: { ...this.#memory.stops, [containerId]: stop } });
  }

  running(key: string): Operation | undefined {
    return this.#inFlight.get(key);
  }

  runningKind(kind: Operation['kind']): boolean {
    return this.view.inFlight.some((op) => op.kind === kind);
  }

  /** Starts `op` unless one of its key runs or its clean-up is waiting to be tried again. */
  begin(op: Operation): void {
    const key = operationKey(op);
    if (this.#inFlight.has(key)) return;
    if (!this.due(this.#memory.cleanup[key])) return;
    this.#start.push(op);
  }

  /** Starts `op` in place of the one that runs under its key. */
  replace(op: Operation): void {
    this.#start.push(op);
  }

  cancel(key: string): void {
    if (this.#inFlight.has(key)) this.#cancel.push(key);
  }

  notice(notice: Notice): void {
    this.#notices.push(notice);
  }

  wakeAt(atMs: number): void {
    this.#wakeAtMs = Math.min(this.#wakeAtMs ?? atMs, atMs);
  }

  /** True when nothing is waited for; otherwise asks to be woken when it is time. */
  due(retry: Pick<Retry, 'retryAtMs'> | undefined): boolean {
    if (retry === undefined || retry.retryAtMs <= this.view.nowMs) return true;
    this.wakeAt(retry.retryAtMs);
    return false;
  }

  finish(done: boolean): Plan {
    return {
      memory: this.#memory,
      start: this.#start,
      cancel: this.#cancel,
      notices: this.#notices,
      wakeAtMs: this.#wakeAtMs,
      done,
    };
  }
}
