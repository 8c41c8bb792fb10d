/**
 * Devices that come while the machine runs: each kobject uevent that names a modalias loads the modules that
 * serve it, one after the other beside everything else. Links that appear are the network's affair, which hears
 * of them itself. Uevents are hints: when some were lost, and once at the start, all devices are looked at.
 */
import { errorText } from '#base/errors.ts';
import type { Log } from '#base/log.ts';
import type { UeventNotice } from '#net/netlink/netlink.ts';
import { modaliasesAsync, parseUevent } from './devices.ts';
import type { ModuleLoader } from './modules.ts';

/** Waiting aliases: more than any bus brings at once. Beyond, all devices are looked at again. */
const PENDING_MAX = 4096;

export interface HotplugIo {
  /** Reads depmod's lists, which are not kept between bursts: a full kernel's are megabytes. */
  readonly open: () => Pick<ModuleLoader, 'loadForInBackground'> | undefined;
  /** What is there now; for tests. */
  readonly devices?: () => AsyncIterable<string>;
  /** A device of the input layer came. */
  readonly onInput: () => void;
  /** A disk or a partition came. */
  readonly onBlock: () => void;
  readonly log: Log;
}

export class Hotplug {
  readonly #io: HotplugIo;
  readonly #pending = new Set<string>();
  #lookAtAll = true;
  #working = false;

  constructor(io: HotplugIo) {
    this.#io = io;
  }

  /** Looks at all devices: what came before anybody listened. Resolves when nothing is left to do. */
  start(): Promise<void> {
    return this.#work();
  }

  onNotice(notice: UeventNotice): void {
    if (notice.kind === 'lost') {
      this.#lookAtAll = true;
    } else {
      const fields = parseUevent(notice.bytes);
      if (fields?.get('ACTION') !== 'add') return;
      if (fields.get('SUBSYSTEM') === 'input') this.#io.onInput();
      if (fields.get('SUBSYSTEM') === 'block') this.#io.onBlock();
      const alias = fields.get('MODALIAS') ?? '';
      if (alias === '') return;
      if (this.#pending.size < PENDING_MAX) this.#pending.add(alias);
      else this.#lookAtAll = true;
    }
    this.#work().catch((error: unknown) => {
      this.#io.log.error('devices not looked at', { error: errorText(error) });
    });
  }

  async #work(): Promise<void> {
    if (this.#working) return;
    this.#working = true;
    try {
      const loader = this.#io.open();
      if (loader === undefined) return; // No modules for this kernel.
      while (this.#lookAtAll || this.#pending.size > 0) {
        if (this.#lookAtAll) {
          this.#lookAtAll = false;
          const devices = this.#io.devices ?? modaliasesAsync;
          for await (const alias of devices()) await loader.loadForInBackground(alias);
        }
        for (const alias of this.#pending) {
          this.#pending.delete(alias);
          await loader.loadForInBackground(alias);
        }
      }
    } finally {
      this.#working = false;
    }
  }
}
