import t from 'tap';
import { parseCommandLine } from './command-line.ts';

const NONE = { config: undefined, secretsUrl: undefined, links: [], problems: [] };
const base64 = Buffer.from('version: 1\n').toString('base64');

const rows = [
  { text: '', expected: NONE },
  { text: 'console=ttyS0 quiet panic=10 bareboat.other=x\n', expected: NONE },
  { text: 'quiet bareboat.links=eth0,eth1 ro', expected: { ...NONE, links: ['eth0', 'eth1'] } },
  { text: 'bareboat.links=a bareboat.links=b', expected: { ...NONE, links: ['b'] } },
  { text: 'bareboat.links=', expected: NONE },
  { text: 'bareboat.config', expected: NONE },
  { text: `bareboat.config=${base64}`, expected: { ...NONE, config: { text: 'version: 1\n' } } },
  {
    text: 'bareboat.config=http://a/b?c=d bareboat.secrets=https://a/s',
    expected: { ...NONE, config: { url: 'http://a/b?c=d' }, secretsUrl: 'https://a/s' },
  },
  {
    text: 'bareboat.config=ftp://a/b',
    expected: { ...NONE, problems: ['bareboat.config: is neither a http(s) URL nor base64'] },
  },
  {
    text: `bareboat.secrets=${base64}`,
    expected: {
      ...NONE,
      problems: ['bareboat.secrets: is no http(s) URL; secrets do not belong on this line'],
    },
  },
];
for (const { text, expected } of rows) {
  t.test(`parseCommandLine(${JSON.stringify(text)})`, async (t) => {
    t.same(parseCommandLine(text), expected);
  });
}
