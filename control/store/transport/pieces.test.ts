/** Messages in pieces: what is whole comes out once, in order, wherever the cuts are. */
import t from 'tap';
import { ByteWriter } from '../codec/bytes.ts';
import { REPLY, beginFrame, endFrame } from '../codec/frame.ts';
import { REPLY_BYTES_MAX } from '../limits.ts';
import { FrameJoiner } from './pieces.ts';

function frames(...lengths: number[]): Uint8Array {
  const out = new ByteWriter();
  for (const [at, length] of lengths.entries()) {
    const lengthAt = beginFrame(out, 200 ** at, REPLY.answer);
    out.raw(new Uint8Array(length).fill(at + 1));
    endFrame(out, lengthAt);
  }
  return out.take();
}

t.test('FrameJoiner gives back frames that were cut anywhere', (t) => {
  const message = frames(0, 3, 300, 1);
  for (let size = 1; size <= message.length; size++) {
    const joiner = new FrameJoiner();
    const got: Uint8Array[] = [];
    for (let at = 0; at < message.length; at += size) {
      got.push(Uint8Array.from(joiner.add(message.subarray(at, at + size))));
    }
    t.same(Buffer.concat(got), Buffer.from(message), `pieces of ${size}`);
  }
  t.end();
});

t.test('FrameJoiner holds back what is not whole, and copies nothing that is', (t) => {
  const joiner = new FrameJoiner();
  const message = frames(10, 20);
  t.equal(joiner.add(message), message, 'the same bytes');
  const first = frames(10).length;
  t.equal(joiner.add(message.subarray(0, first + 9)).length, first, 'the first frame');
  t.equal(joiner.add(message.subarray(first + 9, first + 12)).length, 0, 'the second is not there');
  t.same(joiner.add(message.subarray(first + 12)), message.subarray(first), 'now it is');
  t.end();
});

t.test('FrameJoiner refuses a frame beyond any bound', (t) => {
  const head = frames(0);
  new DataView(head.buffer).setUint32(head.length - 4, REPLY_BYTES_MAX + 1, true);
  t.throws(() => new FrameJoiner().add(head), RangeError);
  t.end();
});
