/**
 * Reads the descriptions of types, fields and parameters, which are kept compressed beside the code
 * and are read only when somebody asks for OpenAPI. Adapter: the rest of control/schema does no I/O.
 */
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { isErrno } from '#base/errors.ts';
import { type Descriptions, NO_DESCRIPTIONS } from './openapi-schema.ts';

/** Named so that the bundler takes the file along (image/bundle.ts). */
const PATH = new URL('./facts/descriptions.gen.json.gz', import.meta.url);

/** The descriptions; none where the file is not shipped, which only makes `kubectl explain` terse. */
export async function readDescriptions(path: string | URL = PATH): Promise<Descriptions> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return NO_DESCRIPTIONS; // An image may leave the file out.
    throw error;
  }
  const text = (await promisify(gunzip)(bytes)).toString();
  return JSON.parse(text) as Descriptions; // Written by gen-facts.
}
