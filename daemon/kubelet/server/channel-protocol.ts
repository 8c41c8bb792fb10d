/**
 * The channel protocols of exec and attach over WebSocket. A binary message is one byte that names
 * the channel, then data; in the base64 variants a message is text: a digit, then base64.
 *
 * | channel | direction | what                                                  |
 * |---------|-----------|-------------------------------------------------------|
 * | 0       | to us     | stdin                                                 |
 * | 1, 2    | from us   | stdout, stderr                                        |
 * | 3       | from us   | error; v4 and v5: a Status as JSON, also for success  |
 * | 4       | to us     | resize: {"Width":80,"Height":24}                      |
 * | 255     | to us     | v5: close the channel named by the next byte          |
 *
 * Pure.
 */

export const CHANNEL = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;

export interface ChannelProtocol {
  readonly name: string;
  readonly base64: boolean;
  /** Channel 3 carries a Status at the end. */
  readonly status: boolean;
}

/** In the order of our liking. */
export const CHANNEL_PROTOCOLS: readonly ChannelProtocol[] = [
  { name: 'v5.channel.k8s.io', base64: false, status: true },
  { name: 'v4.channel.k8s.io', base64: false, status: true },
  { name: 'v4.base64.channel.k8s.io', base64: true, status: true },
  { name: 'channel.k8s.io', base64: false, status: false },
  { name: 'base64.channel.k8s.io', base64: true, status: false },
  { name: '', base64: false, status: false },
];

/** The best protocol that the client offers; undefined when it offers only unknown ones. */
export function chooseProtocol(offered: Iterable<string>): ChannelProtocol | undefined {
  const names = new Set(offered);
  if (names.size === 0) names.add('');
  return CHANNEL_PROTOCOLS.find((p) => names.has(p.name));
}

export function encodeFrame(
  protocol: ChannelProtocol,
  channel: number,
  data: Uint8Array,
): Uint8Array | string {
  if (protocol.base64) return String(channel) + Buffer.from(data).toString('base64');
  return Buffer.concat([Buffer.from([channel]), data]);
}

export type Frame =
  | { readonly kind: 'stdin'; readonly data: Uint8Array }
  | { readonly kind: 'resize'; readonly columns: number; readonly rows: number }
  | { readonly kind: 'closeStdin' };

/** Undefined for what says nothing to us. */
export function decodeFrame(protocol: ChannelProtocol, message: Buffer): Frame | undefined {
  if (message.length === 0) return undefined;
  const channel = protocol.base64 ? (message[0] ?? 0) - 0x30 : (message[0] ?? 0);
  const body = message.subarray(1);
  const data = protocol.base64 ? Buffer.from(body.toString('latin1'), 'base64') : body;
  if (channel === CHANNEL.stdin) return { kind: 'stdin', data };
  if (channel === CHANNEL.close) {
    return data[0] === CHANNEL.stdin ? { kind: 'closeStdin' } : undefined;
  }
  return channel === CHANNEL.resize ? decodeResize(data) : undefined;
}

function decodeResize(data: Buffer): Frame | undefined {
  try {
    const size: unknown = JSON.parse(data.toString('utf8'));
    const { Width, Height } = (size ?? {}) as Record<string, unknown>; // Checked next.
    return isSize(Width) && isSize(Height)
      ? { kind: 'resize', columns: Width, rows: Height }
      : undefined;
  } catch {
    return undefined; // A client's garbage changes nothing.
  }
}

/** struct winsize has 16 bits for each. */
function isSize(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 0xffff;
}

/** What channel 3 says when the process has ended. */
export function exitStatus(exitCode: number): object {
  if (exitCode === 0) return { metadata: {}, status: 'Success' };
  return {
    metadata: {},
    status: 'Failure',
    message: `command terminated with non-zero exit code: exit code ${exitCode}`,
    reason: 'NonZeroExitCode',
    details: { causes: [{ reason: 'ExitCode', message: String(exitCode) }] },
  };
}

export function failureStatus(message: string): object {
  return { metadata: {}, status: 'Failure', message, reason: 'InternalError', code: 500 };
}
