/**
 * The note in /run that the machine ends: a supervisor that is killed meanwhile leaves it to the next one,
 * which goes on. Apart from shutdown.ts because the first steps of a boot need it and nothing of the rest.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { isErrno } from '#base/errors.ts';
import { PLACES } from './unit-specs.ts';

export type EndKind = 'reboot' | 'powerOff';

/** What an earlier supervisor of this boot had begun, if one had. */
export function readEnding(): EndKind | undefined {
  try {
    return readFileSync(PLACES.ending, 'utf8') === 'reboot' ? 'reboot' : 'powerOff';
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined; // The machine goes on.
    throw error;
  }
}

export function writeEnding(kind: EndKind): void {
  writeFileSync(PLACES.ending, kind);
}

/** In namespaces /run may outlive the machine. */
export function forgetEnding(): void {
  rmSync(PLACES.ending, { force: true });
}
