import t from 'tap';
import { parseCommandLine } from './command-line.ts';

const rows = [
  { text: '', links: [] },
  { text: 'console=ttyS0 quiet bareboat.links=eth0,eth1 panic=10\n', links: ['eth0', 'eth1'] },
  { text: 'bareboat.links=a bareboat.links=b', links: ['b'] },
  { text: 'bareboat.links=', links: [] },
  { text: 'bareboat.links', links: [] },
];
for (const { text, links } of rows) {
  t.test(`parseCommandLine(${JSON.stringify(text)})`, async (t) => {
    t.same(parseCommandLine(text).links, links);
  });
}
