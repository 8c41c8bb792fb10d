/**
 * One member of a simulated group: the engine that ships on a disk in memory. The process may die at any
 * change of the disk, the disk keeps what POSIX promises, and another process goes on from there.
 */
import { ByteReader } from '#control/store/codec/bytes.ts';
import { decodePeerMessage, encodePeerMessage, sinceVersion } from '#control/store/codec/peer.ts';
import { MemoryDisk } from '#control/store/disk/memory-disk.ts';
import type { Engine } from '#control/store/engine/engine.ts';
import { DamagedDirectory } from '#control/store/engine/read-directory.ts';
import { Repair } from '#control/store/engine/repair.ts';
import type { RepairIo } from '#control/store/engine/repair.ts';
import { openEngine } from '#control/store/engine/open-engine.ts';
import type { EngineSettings } from '#control/store/engine/open-engine.ts';
import { REPAIR_TICK_MS } from '#control/store/limits.ts';
import { crc32, sha256 } from '#control/store/native-digests.ts';
import { VERSION } from '#control/store/versions.ts';
import type { SeededRandom } from '#control/store/testing/seeded-random.ts';
import type { EventQueue } from './event-queue.ts';

export class PowerFailure extends Error {}

export interface MemberIo {
  readonly time: EventQueue;
  readonly random: SeededRandom;
  readonly send: (from: number, to: number, bytes: Uint8Array) => void;
  /** Something happened on this member: the oracle looks. */
  readonly observe: (member: SimMember) => void;
  /** The process ended, by a power failure or else by itself. */
  readonly died: (member: SimMember, error: unknown) => void;
}

export class SimMember {
  readonly disk = new MemoryDisk();
  readonly #io: MemberIo;
  readonly #settings: EngineSettings;
  /** 0 before the first start of a founder. */
  id = 0;
  engine: Engine | undefined;
  /** Of a damaged directory, before the engine starts. */
  repair: Repair | undefined;
  /** Counts processes; what belongs to an earlier one does nothing. */
  life = 0;
  readonly logged: string[] = [];
  /** Of the software that the next process runs. */
  runsAsVersion: number;
  /** Who it is to be on an empty disk. */
  join: EngineSettings['join'];
  /** How fast its clock runs. */
  readonly #pace: number;
  #isPumpDue = false;
  /** Stopped until then, as by SIGSTOP or a hung disk. */
  #pausedUntil = 0;

  constructor(io: MemberIo, settings: EngineSettings) {
    this.#io = io;
    this.#settings = settings;
    this.runsAsVersion = settings.runsAsVersion ?? VERSION;
    this.join = settings.join;
    this.#pace = 0.9 + io.random.next() * 0.2;
    this.start();
  }

  get isUp(): boolean {
    return this.engine !== undefined;
  }

  /** A process starts on the disk. */
  start(): void {
    if (this.engine !== undefined) return;
    const life = ++this.life;
    const { time, random } = this.#io;
    const note = (text: string) => void this.logged.push(`${time.nowMs.toFixed(0)} ${text}`);
    const io = {
      disk: this.disk,
      crc32,
      sha256,
      random: random.next,
      log: { info: note, warn: note, error: note },
      monotonicMs: () => time.nowMs * this.#pace,
      peers: {
        send: (to: number, message: Parameters<typeof encodePeerMessage>[0]) => {
          this.#io.send(this.id, to, encodePeerMessage(message));
          return true;
        },
        setMembers: () => {},
      },
    };
    try {
      const { runsAsVersion, join } = this;
      const engine = openEngine(io, { ...this.#settings, runsAsVersion, join });
      this.id = engine.memberId;
      this.engine = engine;
    } catch (error) {
      if (error instanceof DamagedDirectory && error.isRepairable) this.#beginRepair(io, error);
      else this.#io.died(this, error);
      return;
    }
    this.#scheduleTick(life);
    this.pump();
  }

  /** Its directory is damaged: what it lacks is asked of the others, then it starts. */
  #beginRepair(io: RepairIo, damage: DamagedDirectory): void {
    const { life } = this;
    this.id = damage.identity.memberId;
    this.repair = new Repair(io, this.#settings, damage);
    const tick = () => {
      if (life !== this.life || this.repair === undefined) return;
      this.repair.tick();
      this.#repairOn();
      this.#io.time.after(REPAIR_TICK_MS, tick);
    };
    tick();
  }

  /** Does what is due of the repair. */
  #repairOn(): void {
    const { repair, life } = this;
    if (repair === undefined) return;
    try {
      while (repair.pump());
    } catch (error) {
      this.repair = undefined;
      repair.close();
      this.#io.died(this, error);
      return;
    }
    if (repair.state === 'asking') return;
    this.repair = undefined;
    repair.close();
    if (repair.state === 'stuck') this.#io.died(this, repair.damage);
    else this.#io.time.after(0, () => life === this.life && this.start());
  }

  receive(from: number, bytes: Uint8Array): void {
    if (this.repair !== undefined) {
      this.repair.receive(from, decodePeerMessage(new ByteReader(bytes)));
      this.#repairOn();
    }
    if (this.engine === undefined) return;
    const message = decodePeerMessage(new ByteReader(bytes));
    // A socket would not have carried it: its member said in its hello what it runs.
    if (sinceVersion(message) > this.engine.versions.version) return;
    this.engine.receive(from, message);
    this.pump();
  }

  /** The process is gone without a word. */
  kill(error: unknown = 'killed'): void {
    this.repair?.close();
    this.repair = undefined;
    if (this.engine === undefined) return;
    const { engine } = this;
    this.engine = undefined;
    engine.abort();
    this.#io.died(this, error);
  }

  /** The process stands still for so long; what arrives waits. */
  pause(ms: number): void {
    this.#pausedUntil = this.#io.time.nowMs + ms;
  }

  resume(): void {
    this.#pausedUntil = 0;
    this.pump();
  }

  get #leftPausedMs(): number {
    return Math.max(0, this.#pausedUntil - this.#io.time.nowMs);
  }

  /** Does what is due at this moment, once however often it is asked for. */
  pump(): void {
    if (this.#isPumpDue) return;
    this.#isPumpDue = true;
    const { life } = this;
    this.#io.time.after(this.#leftPausedMs, () => {
      this.#isPumpDue = false;
      if (this.#leftPausedMs > 0) this.pump();
      else if (life === this.life) this.#work((engine) => engine.pump('later'));
    });
  }

  #scheduleTick(life: number): void {
    const { tickMs = 0 } = this.engine ?? {};
    this.#io.time.after(tickMs / this.#pace, () => {
      if (life !== this.life || this.engine === undefined) return;
      // Ticks that were missed come as one.
      if (this.#leftPausedMs === 0) {
        this.#work((engine) => {
          engine.tick();
          return engine.pump();
        });
      }
      this.#scheduleTick(life);
    });
  }

  #work(work: (engine: Engine) => boolean): void {
    const { engine } = this;
    if (engine === undefined) return;
    try {
      if (work(engine)) this.pump();
    } catch (error) {
      this.kill(error);
      return;
    }
    this.#io.observe(this);
  }
}
