/** checkChange(): what this version cannot carry out is refused, naming field and value. */
import t from 'tap';
import { ConfigError, parseMachineConfig } from '#base/machine-config.ts';
import { checkChange } from './apply-config.ts';

const make = (node: string, cluster: string) =>
  parseMachineConfig(`version: 1\nnode: {name: n${node}}\ncluster: {name: c${cluster}}\n`);
const plain = make('', '');

const rows = [
  { name: 'a first configuration', old: undefined, config: plain, bootstrapped: false, field: '' },
  {
    name: 'a worker',
    old: undefined,
    config: make(', role: worker', ''),
    bootstrapped: false,
    field: 'node.role',
  },
  {
    name: 'another range before bootstrap',
    old: plain,
    config: make('', ', podCidr: 10.1.0.0/16'),
    bootstrapped: false,
    field: '',
  },
  {
    name: 'another range of pods after bootstrap',
    old: plain,
    config: make('', ', podCidr: 10.1.0.0/16'),
    bootstrapped: true,
    field: 'cluster.podCidr',
  },
  {
    name: 'another range of services after bootstrap',
    old: plain,
    config: make('', ', serviceCidr: 10.1.0.0/16'),
    bootstrapped: true,
    field: 'cluster.serviceCidr',
  },
  {
    name: 'a configuration in place of a damaged one',
    old: undefined,
    config: plain,
    bootstrapped: true,
    field: '',
  },
];
for (const { name, old, config, bootstrapped, field } of rows) {
  t.test(`checkChange() ${field === '' ? 'takes' : 'refuses'} ${name}`, async (t) => {
    let problems: ConfigError['problems'] = [];
    try {
      checkChange(old, config, bootstrapped);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      problems = error.problems;
    }
    t.same(
      problems.map((problem) => problem.field),
      field === '' ? [] : [field],
    );
  });
}
