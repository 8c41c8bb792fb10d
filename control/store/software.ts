/**
 * What one software knows of versions (versions.ts), as data: the table that ships is the default of
 * whatever asks for one. The simulator lets members run a later one beside it.
 */
import { COMMAND_LAYOUTS } from './codec/command.ts';
import { FORMATS, VERSION, unknownVersion } from './versions.ts';
import type { Formats } from './versions.ts';

export interface Software {
  /** What it runs as, unless it is told to run as an earlier one. */
  readonly version: number;
  /** What members write, by the version of their group. */
  readonly formats: Readonly<Record<number, Formats>>;
  /**
   * By kind of command: the versions of a group from which on its log holds the kind in another layout,
   * rising. A command names its layout by that version.
   */
  readonly commands: Readonly<Record<number, readonly number[]>>;
}

export const SOFTWARE: Software = {
  version: VERSION,
  formats: FORMATS,
  commands: COMMAND_LAYOUTS,
};

/** What a group of this version writes. Throws StoreError UNSUPPORTED when the software knows none. */
export function formatsOf(software: Software, version: number): Formats {
  const formats = software.formats[version];
  if (formats === undefined) throw unknownVersion('group', version, software.version);
  return formats;
}

/** The layout of commands of this kind in a group of this version; undefined = it has none. */
export function layoutOf(software: Software, kind: number, version: number): number | undefined {
  return software.commands[kind]?.findLast((since) => since <= version);
}
