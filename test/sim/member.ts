/**
 * One member of a simulated group: the engine that ships on a disk in memory. The process may die at any
 * change of the disk, the disk keeps what POSIX promises, and another process goes on from there.
 *
 * The engine is synchronous. What takes time in the world, a turn's work or a sync that hangs, is time
 * during which what the turn sends does not leave, and nothing is taken in.
 */
import { ByteReader } from '#control/store/codec/bytes.ts';
import { decodePeerMessage, encodePeerMessage, sinceVersion } from '#control/store/codec/peer.ts';
import { MemoryDisk } from '#control/store/disk/memory-disk.ts';
import { DelayedBatchWriter } from '#control/store/testing/delayed-batch-writer.ts';
import { amend, beginningOf, joinAnew } from '#control/store/amend.ts';
import type { Amended } from '#control/store/amend.ts';
import type { EngineLog } from '#control/store/engine/engine-log.ts';
import { Outcast } from '#control/store/engine/outcast.ts';
import type { PeerMessage, Peers } from '#control/store/engine/peers.ts';
import { StoreError } from '#control/store/port.ts';
import { whyReplaced } from '#control/store/rejoin.ts';
import type { Asker } from '#control/store/rejoin.ts';
import type { Engine } from '#control/store/engine/engine.ts';
import { DamagedDirectory } from '#control/store/engine/read-directory.ts';
import { Repair } from '#control/store/engine/repair.ts';
import type { RepairIo } from '#control/store/engine/repair.ts';
import { openEngine } from '#control/store/engine/open-engine.ts';
import type { EngineIo, EngineSettings } from '#control/store/engine/open-engine.ts';
import { LOOK_AROUND_PAUSE_MS, REPAIR_TICK_MS } from '#control/store/limits.ts';
import { crc32, sha256 } from '#control/store/native-digests.ts';
import { VERSION } from '#control/store/versions.ts';
import type { SeededRandom } from '#control/store/testing/seeded-random.ts';
import type { EventQueue } from './event-queue.ts';
import { ProcessTime } from './process-time.ts';
import { tracedDisk } from './trace.ts';
import type { Trace } from './trace.ts';
import { softwareOf } from './upgrades.ts';
import type { Installed } from './upgrades.ts';

export class PowerFailure extends Error {}

/** What a member may have promised to others: its term, and where its log ends. */
export interface Promised {
  readonly term: number;
  readonly lastTerm: number;
  readonly lastIndex: number;
}

export interface MemberIo {
  readonly time: EventQueue;
  readonly random: SeededRandom;
  readonly trace: Trace;
  /** Of a turn of work, of virtual time. */
  readonly turnMs: number;
  /** Until a batch of the log is durable, beside other work; absent = at once, and in its turn. */
  readonly syncMs?: (() => number) | undefined;
  readonly send: (from: number, to: number, bytes: Uint8Array) => void;
  /** Something happened on this member: the oracle looks. */
  readonly observe: (member: SimMember) => void;
  /** It is about to say this to another. */
  readonly says: (member: SimMember, to: number, message: PeerMessage) => void;
  /** Its process ends, maybe in the middle of something. */
  readonly ending: (member: SimMember) => void;
  /** Its directory is damaged, and it is about to ask others for what it lacks. */
  readonly repairs: (member: SimMember, damage: DamagedDirectory) => void;
  /** The group does not have it as who it was: it asks the others to be taken in. */
  readonly comesIn: (member: SimMember) => void;
  /** How a process of it asks the others; absent = it does not, and ends where it would have to. */
  readonly asker?:
    | ((member: SimMember, of: { log: EngineLog; process: AbortSignal }) => Asker)
    | undefined;
  /** A promise that somebody waits for is settled. */
  readonly stir: () => void;
  /** The process ended, by a power failure or else by itself. */
  readonly died: (member: SimMember, error: unknown) => void;
}

export interface MemberSettings extends EngineSettings {
  /** Of the machine, whatever the member's id. */
  readonly founder: { readonly key: string; readonly address: string };
}

export class SimMember {
  readonly disk = new MemoryDisk();
  readonly #io: MemberIo;
  readonly #settings: EngineSettings;
  readonly key: string;
  readonly address: string;
  /** 0 before the first start of a founder. */
  id = 0;
  engine: Engine | undefined;
  /** Of a damaged directory, before the engine starts. */
  repair: Repair | undefined;
  #repaired: PromiseWithResolvers<void> | undefined;
  /** Of a process that waits for others before its engine starts. */
  #waiting: AbortController | undefined;
  /** Aborted when the last process ends. */
  #process = new AbortController();
  /** What the next process runs. */
  installed: Installed;
  /** Who it is to be on an empty disk. */
  join: EngineSettings['join'];
  /** Counts processes; what belongs to an earlier one does nothing. */
  life = 0;
  /** By its last process when that ended. */
  promised: Promised = { term: 0, lastTerm: 0, lastIndex: 0 };
  readonly logged: string[] = [];
  readonly #clock: ProcessTime;
  #isPumpDue = false;
  /** Where the log ended when this process started: until then it replays. */
  #replayIndex = 0;
  #electedAtMs = Number.NEGATIVE_INFINITY;
  /** The last term in which it sent entries. */
  #ledTerm = 0;
  /** Parts of snapshots came or went last. */
  #snapshotAtMs = Number.NEGATIVE_INFINITY;

  constructor(io: MemberIo, settings: MemberSettings) {
    this.#io = io;
    this.#settings = settings;
    this.key = settings.founder.key;
    this.address = settings.founder.address;
    this.installed = { version: settings.runsAsVersion ?? VERSION, former: undefined };
    this.join = settings.join;
    this.#clock = new ProcessTime(io.time, io.random);
    this.start();
  }

  get isUp(): boolean {
    return this.engine !== undefined;
  }

  /** A process runs, be it that it waits for others before its engine starts. */
  get isRunning(): boolean {
    return this.engine !== undefined || this.#waiting !== undefined;
  }

  get isPaused(): boolean {
    return this.#clock.leftPausedMs > 0;
  }

  /** Applies again what it had applied before it started. */
  get isReplaying(): boolean {
    return this.engine !== undefined && this.engine.state.appliedIndex < this.#replayIndex;
  }

  /** Sends or fetches a snapshot. */
  get isSnapshotting(): boolean {
    return this.#io.time.nowMs - this.#snapshotAtMs < 20;
  }

  /** It has just voted for another, or begun to lead. */
  get isElecting(): boolean {
    return this.#io.time.nowMs - this.#electedAtMs < 5;
  }

  #noteElection(message: PeerMessage): void {
    const isVote = message.kind === 'voteResponse' && !message.rejected;
    const isFirst = message.kind === 'append' && message.term > this.#ledTerm;
    if (isVote || isFirst) this.#electedAtMs = this.#io.time.nowMs;
    if (isFirst) this.#ledTerm = message.term;
  }

  /** A process starts on the disk. */
  start(): void {
    if (this.isRunning) return;
    const life = ++this.life;
    const { time, random, trace } = this.#io;
    const note = (text: string) => void this.logged.push(`${time.nowMs.toFixed(0)} ${text}`);
    const noteChange = (what: string, bytes?: Uint8Array) =>
      trace.note(what, { atMs: time.nowMs, from: this.id }, bytes);
    this.#clock.begin();
    const io = {
      disk: tracedDisk(this.disk, noteChange),
      crc32,
      sha256,
      random: random.next,
      log: { info: note, warn: note, error: note },
      monotonicMs: () => this.#clock.shownMs,
      batchWriter: this.#writer(life),
      peers: {
        send: (to: number, message: PeerMessage) => {
          const isOfSnapshot = message.kind === 'chunk' || message.kind === 'chunkRequest';
          if (isOfSnapshot) this.#snapshotAtMs = time.nowMs;
          this.#noteElection(message);
          this.#io.says(this, to, message);
          const bytes = encodePeerMessage(message);
          this.whenAwake(() => this.#io.send(this.id, to, bytes));
          return true;
        },
        setMembers: () => {},
      },
    };
    const process = new AbortController();
    this.#process = process;
    const asker = this.#io.asker?.(this, { log: io.log, process: process.signal });
    this.#begin({ io, process, asker });
  }

  /** Who cannot begin without the others waits for them, as control/store/member.ts does it. */
  #begin(by: Process): void {
    const { asker, io } = by;
    const of = { ...toAmend(io), asker };
    try {
      if (hasAsker(of) && !beginningOf(of).isKnown) {
        this.#wait(by, async (signal) => {
          const join = await joinAnew(of, signal);
          return () => this.#open(by, join);
        });
        return;
      }
    } catch (error) {
      this.#io.died(this, error);
      return;
    }
    this.#open(by, this.join);
  }

  #open(by: Process, join: EngineSettings['join']): void {
    const { io, asker } = by;
    try {
      const engine = openEngine(io, { ...this.#settings, ...this.#software(), join });
      this.id = engine.memberId;
      this.engine = engine;
      if (io.batchWriter !== undefined) io.batchWriter.isBeside = true;
      this.#replayIndex = engine.tail.lastIndex;
    } catch (error) {
      const isDamaged = error instanceof DamagedDirectory && error.isRepairable;
      if (isDamaged) {
        this.id = error.identity.memberId;
        this.#io.repairs(this, error);
      } else if (error instanceof Outcast && asker !== undefined) this.#io.comesIn(this);
      else {
        this.#io.died(this, error);
        return;
      }
      const repair = (damage: DamagedDirectory) => this.#repair(io, damage);
      const of = { ...toAmend(io), asker, repair };
      this.#wait(by, async (signal) => {
        if (hasAsker(of)) await amend(error, of, signal);
        else if (isDamaged) await repair(error);
        return () => this.#open(by, join);
      });
      return;
    }
    this.#scheduleTick(this.life);
    this.#lookAroundLater(by, this.engine);
    this.pump();
  }

  /** While it hears of no leader, it looks whether it has been taken in under another id. */
  #lookAroundLater(by: Process, engine: Engine): void {
    const { asker, process } = by;
    if (asker === undefined) return;
    this.#io.time.after(LOOK_AROUND_PAUSE_MS, () => {
      if (this.engine !== engine) return;
      this.#lookAroundLater(by, engine);
      if (!engine.isLeaderless || engine.isSoleVoter) return;
      const found = (reason: string | undefined) => {
        if (reason === undefined || this.engine !== engine) return;
        this.#io.stir();
        this.#work(() => engine.expel(reason));
      };
      const ended = (error: unknown) => {
        if (!process.signal.aborted) throw error;
      };
      whyReplaced(asker, engine, process.signal).then(found).catch(ended);
    });
  }

  /** Goes on with what `work` resolves to, unless the process ends before. */
  #wait({ process }: Process, work: (signal: AbortSignal) => Promise<() => void>): void {
    this.#waiting = process;
    const then = (goOn: () => void) => {
      if (this.#waiting !== process) return;
      this.#waiting = undefined;
      this.#io.stir();
      goOn();
    };
    const ended = (error: unknown) => this.#io.died(this, error);
    work(process.signal)
      .catch((error: unknown) => () => ended(error))
      .then(then)
      .catch(ended);
  }

  /** What a damaged directory lacks is asked of the others. */
  #repair(io: RepairIo, damage: DamagedDirectory): Promise<void> {
    const { life } = this;
    // Whose directory it is, it says itself by now.
    const settings = { ...this.#settings, ...this.#software(), join: undefined };
    const repair = new Repair(io, settings, damage);
    this.repair = repair;
    const repaired = Promise.withResolvers<void>();
    this.#repaired = repaired;
    const tick = () => {
      if (life !== this.life || this.repair !== repair) return;
      repair.tick();
      this.#repairOn();
      this.#io.time.after(REPAIR_TICK_MS, tick);
    };
    tick();
    return repaired.promise;
  }

  /** Does what is due of the repair. */
  #repairOn(): void {
    const { repair } = this;
    if (repair === undefined) return;
    let failure: unknown;
    try {
      while (repair.pump());
      if (repair.state === 'asking') return;
      if (repair.state === 'stuck') failure = repair.damage;
    } catch (error) {
      failure = error;
    }
    this.repair = undefined;
    repair.close();
    this.#io.stir();
    if (failure === undefined) this.#repaired?.resolve();
    else this.#repaired?.reject(failure);
  }

  #software() {
    const { version, former } = this.installed;
    return {
      software: softwareOf(version),
      runsAsVersion: version,
      isVersionConfirmed: former === undefined,
    };
  }

  /** Its system was found good: it does not go back to the software before. */
  confirm(): void {
    this.installed = { ...this.installed, former: undefined };
    this.engine?.confirmVersion();
    this.pump();
  }

  receive(from: number, bytes: Uint8Array): void {
    if (this.engine === undefined && this.repair === undefined) return;
    this.#io.trace.note('message', { atMs: this.#io.time.nowMs, from, to: this.id }, bytes);
    const message = decodePeerMessage(new ByteReader(bytes));
    if (this.repair !== undefined) {
      this.repair.receive(from, message);
      this.#repairOn();
    }
    // A socket would not have carried it: its member said in its hello what it runs.
    if (this.engine === undefined || sinceVersion(message) > this.engine.versions.version) return;
    this.engine.receive(from, message);
    this.pump();
  }

  /** The process is gone without a word. */
  kill(error: unknown = 'killed'): void {
    this.repair?.close();
    this.repair = undefined;
    this.#waiting = undefined;
    this.#process.abort(new StoreError('CLOSED', 'process ended'));
    if (this.engine === undefined) return;
    const { engine } = this;
    this.#leave(engine);
    engine.abort();
    this.#io.died(this, error);
  }

  /** Without a trace: the simulation is over. */
  abort(): void {
    this.#process.abort(new StoreError('CLOSED', 'simulation ended'));
    this.engine?.abort();
  }

  /** The process ends in order. */
  stop(): void {
    this.#work((engine) => {
      engine.resign();
      engine.pump();
      engine.close();
      return false;
    });
    if (this.engine === undefined) {
      this.kill(); // Whatever it waits for.
      return;
    }
    this.#leave(this.engine);
    this.#io.died(this, 'stopped');
  }

  #leave(engine: Engine): void {
    this.#process.abort(new StoreError('CLOSED', 'process ended'));
    this.#io.ending(this);
    this.promised = { ...engine.tail, term: engine.status().raftTerm };
    this.engine = undefined;
    this.#clock.end();
  }

  /** The process stands still for so long; what arrives waits, and nothing leaves. */
  pause(ms: number): void {
    this.#clock.pause(ms);
  }

  resume(): void {
    this.#clock.resume();
    this.pump();
  }

  /** Its clock goes on at another pace. */
  skewClock(): void {
    this.#clock.skew();
  }

  /** Runs at once, or in its turn when the process goes on; never when it ends before. */
  whenAwake(run: () => void): void {
    this.#clock.whenAwake(run);
  }

  /** Does what is due at this moment, once however often it is asked for. */
  pump(): void {
    if (this.#isPumpDue) return;
    this.#isPumpDue = true;
    const { life } = this;
    this.#io.time.after(Math.max(this.#clock.leftPausedMs, this.#io.turnMs), () => {
      this.#isPumpDue = false;
      if (this.#clock.leftPausedMs > 0) this.pump();
      else if (life === this.life) this.#work((engine) => engine.pump('later'));
    });
  }

  /** Another thread of this process, for batches of the log. */
  #writer(life: number): DelayedBatchWriter | undefined {
    const { time, syncMs } = this.#io;
    if (syncMs === undefined) return undefined;
    const writer = new DelayedBatchWriter(() => {
      time.after(Math.max(this.#clock.leftPausedMs, syncMs()), () => {
        if (life !== this.life || this.engine === undefined) return;
        writer.end();
        this.pump();
      });
    });
    return writer;
  }

  #scheduleTick(life: number): void {
    const { tickMs = 0 } = this.engine ?? {};
    this.#io.time.after(tickMs / this.#clock.pace, () => {
      if (life !== this.life || this.engine === undefined) return;
      // Ticks that were missed come as one.
      if (this.#clock.leftPausedMs === 0) {
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

interface Process {
  readonly io: EngineIo & {
    readonly batchWriter: DelayedBatchWriter | undefined;
    readonly peers: Peers;
  };
  readonly process: AbortController;
  readonly asker: Asker | undefined;
}

function toAmend({ disk }: EngineIo): Pick<Amended, 'openDisk' | 'crc32'> {
  return { openDisk: () => ({ ...disk, [Symbol.dispose]() {} }), crc32 };
}

function hasAsker<T extends { readonly asker: Asker | undefined }>(
  of: T,
): of is T & { readonly asker: Asker } {
  return of.asker !== undefined;
}

/** No fault of the disk waits any more. */
export function calmDisk({ disk }: SimMember): void {
  disk.faults.beforeChange = () => {};
  disk.faults.failSync = () => undefined;
  disk.faults.failDirectorySync = () => false;
  disk.faults.misdirect = () => undefined;
  disk.faults.capacityBytes = Number.POSITIVE_INFINITY;
}
