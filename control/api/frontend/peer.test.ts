import type { TLSSocket } from 'node:tls';
import t from 'tap';
import { peerOf } from './peer.ts';

t.test('peerOf() reads a verified subject', async (t) => {
  const peer = (subject: object, authorized = true) => {
    const raw = Buffer.alloc(0);
    const socket = { authorized, getPeerCertificate: () => ({ subject, raw }) };
    return peerOf(socket as unknown as TLSSocket); // All that is read.
  };
  t.match(peer({ CN: 'a', O: ['x', 'y'] }), { user: { name: 'a', groups: ['x', 'y'] } });
  t.match(
    peer({ CN: ['a', 'b'], O: 'x' }),
    { user: { name: 'b', groups: ['x'] } },
    'the last name',
  );
  t.same(peer({ CN: 'a' }, false), { kind: 'tls', user: undefined, rejected: true });
  t.same(peer({ O: 'x' }), { kind: 'tls', user: undefined, rejected: true });
});
