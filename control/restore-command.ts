/**
 * `main.ts --restore SNAPSHOT DATADIR`: makes the store that control is going to take of a snapshot. For the
 * supervisor, which runs it before the cluster is bootstrapped; prints one line of JSON, what was done or
 * what refused it.
 */
import { errorText, isErrno } from '#base/errors.ts';
import { StoreError } from '#control/store/store.ts';
import { makeRestored } from './restored-store.ts';

/** Returns the exit code. */
export function restoreCommand([snapshot = '', dataDir = '']: readonly string[]): number {
  const say = (value: object) => process.stdout.write(`${JSON.stringify(value)}\n`);
  try {
    const { groupId, revision } = makeRestored(snapshot, dataDir);
    say({ groupId, revision });
    return 0;
  } catch (error) {
    const isFull = isErrno(error, 'ENOSPC', 'EDQUOT');
    const code = error instanceof StoreError ? error.code : isFull ? 'NO_SPACE' : 'INTERNAL';
    say({ code, message: errorText(error) });
    return 1;
  }
}
