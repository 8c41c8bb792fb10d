/** How control's program answers the supervisor where it does not serve: one line of JSON, and an exit code. */
import { errorText, isErrno } from '#base/errors.ts';
import { StoreError } from '#control/store/store.ts';

/** Prints what `work` returns, or `code` and `message` of what refused it. Resolves to the exit code. */
export async function answerLine(work: () => object | Promise<object>): Promise<number> {
  const say = (value: object) => process.stdout.write(`${JSON.stringify(value)}\n`);
  try {
    say(await work());
    return 0;
  } catch (error) {
    const isFull = isErrno(error, 'ENOSPC', 'EDQUOT');
    const code = error instanceof StoreError ? error.code : isFull ? 'NO_SPACE' : 'INTERNAL';
    say({ code, message: errorText(error) });
    return 1;
  }
}
