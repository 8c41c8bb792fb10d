/**
 * Makes sure that a container's image is there, by its pull policy. Pulls of one reference by several
 * pods are one pull; at most PULLS_MAX run at a time, the rest wait in line.
 */
import type { Clock } from '#base/clock.ts';
import { errorText } from '#base/errors.ts';
import type { Secret } from '#base/kube/api/core-v1.gen.ts';
import {
  type Image,
  type ImageService,
  type RegistryAuth,
  RuntimeError,
} from '../../runtime/port.ts';
import type { Notice, Outcome } from '../lifecycle/model.ts';
import { PULLS_MAX } from '../limits.ts';
import { credentialsFor } from './keyring.ts';

export interface ImageRequest {
  readonly container: string;
  readonly image: string;
  readonly policy: string;
  readonly secrets: readonly Secret[];
  readonly notice: (notice: Notice) => void;
}

export class ImagePuller {
  readonly #images: ImageService;
  readonly #clock: Clock;
  readonly #waiting: (() => void)[] = [];
  #active = 0;

  constructor(io: { readonly images: ImageService; readonly clock: Clock }) {
    this.#images = io.images;
    this.#clock = io.clock;
  }

  async ensure(request: ImageRequest, signal: AbortSignal): Promise<Outcome> {
    const { image, policy, container } = request;
    const name = JSON.stringify(image);
    const notice = (type: Notice['type'], reason: string, message: string) =>
      request.notice({ type, reason, message, container });
    if (!isReference(image)) return invalidName(image, notice);
    const present = policy === 'Always' ? undefined : this.#images.find(image);
    if (present !== undefined) {
      const where = 'already present on machine and can be accessed by the pod';
      notice('Normal', 'Pulled', `Container image ${name} ${where}`);
      return { ok: true, imageId: present.id };
    }
    if (policy === 'Never') {
      const message = `Container image ${name} is not present with pull policy of Never`;
      notice('Warning', 'ErrImageNeverPull', message);
      notice('Warning', 'Failed', 'Error: ErrImageNeverPull');
      return { ok: false, reason: 'ErrImageNeverPull', message };
    }
    return this.#pull(request, notice, signal);
  }

  async #pull(request: ImageRequest, notice: Tell, signal: AbortSignal): Promise<Outcome> {
    const { image, secrets } = request;
    const name = JSON.stringify(image);
    notice('Normal', 'Pulling', `Pulling image ${name}`);
    const queuedAtMs = this.#clock.monotonicMs();
    await this.#enter(signal);
    const startedAtMs = this.#clock.monotonicMs();
    try {
      const pulled = await this.#pullWith(image, credentialsFor(image, secrets), signal);
      const nowMs = this.#clock.monotonicMs();
      const took = `${seconds(nowMs - startedAtMs)} (${seconds(nowMs - queuedAtMs)} including waiting)`;
      const message = `Successfully pulled image ${name} in ${took}. Image size: ${pulled.sizeBytes} bytes.`;
      notice('Normal', 'Pulled', message);
      return { ok: true, imageId: pulled.id };
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof RuntimeError && error.code === 'INVALID_IMAGE_NAME') {
        return invalidName(image, notice);
      }
      const message = `failed to pull image ${name}: ${errorText(error)}`;
      notice('Warning', 'Failed', `Failed to pull image ${name}: ${errorText(error)}`);
      notice('Warning', 'Failed', 'Error: ErrImagePull');
      return { ok: false, reason: 'ErrImagePull', message };
    } finally {
      this.#leave();
    }
  }

  /** Without credentials once, or with each that fits until one is accepted. */
  async #pullWith(
    image: string,
    credentials: readonly RegistryAuth[],
    signal: AbortSignal,
  ): Promise<Image> {
    let failure: unknown;
    for (const auth of credentials.length === 0 ? [undefined] : credentials) {
      try {
        return await this.#images.pull(image, auth, signal);
      } catch (error) {
        if (!(error instanceof RuntimeError) || error.code !== 'IMAGE_AUTH') throw error;
        failure = error;
      }
    }
    throw failure;
  }

  async #enter(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#active < PULLS_MAX) {
      this.#active++;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const onAbort = () => {
        this.#waiting.splice(this.#waiting.indexOf(turn), 1);
        reject(signal.reason);
      };
      const turn = () => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiting.push(turn);
    });
  }

  /** The place goes to the next in line, if any. */
  #leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#active--;
    else next();
  }
}

type Tell = (type: Notice['type'], reason: string, message: string) => void;

function invalidName(image: string, notice: Tell): Outcome {
  const name = JSON.stringify(image);
  const message =
    `Failed to apply default image tag ${name}: couldn't parse image name ${name}: ` +
    'invalid reference format';
  notice('Warning', 'InspectFailed', message);
  notice('Warning', 'Failed', 'Error: InvalidImageName');
  return { ok: false, reason: 'InvalidImageName', message };
}

const seconds = (ms: number) => (ms < 1000 ? `${Math.round(ms)}ms` : `${(ms / 1000).toFixed(3)}s`);

/** `[host[:port]/]path[:tag][@digest]`, as the distribution specification writes it. */
export function isReference(text: string): boolean {
  const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
  const label = '[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?';
  const host = `(?:${label}(?:\\.${label})*|\\[[0-9a-fA-F:]+\\])(?::[0-9]+)?`;
  const pattern = `^(?:${host}/)?${component}(?:/${component})*(?::[\\w][\\w.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*:[0-9a-fA-F]{32,})?$`;
  return new RegExp(pattern).test(text) || /^sha256:[0-9a-f]{64}$/.test(text);
}
