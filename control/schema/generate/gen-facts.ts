/**
 * `make gen-facts`: reads upstream's published Go modules and writes facts/*.gen.json. Needs Go to
 * find the module cache; the facts are committed, so that `make gen` and builds do not.
 */
import { join } from 'node:path';
import { writeDescriptions } from './extract-descriptions.ts';
import { writeObjects } from './extract-objects.ts';
import { extractResources } from './extract-resources.ts';
import { extractTypes } from './extract-types.ts';
import { findModule, writeFacts } from './upstream.ts';

const facts = join(import.meta.dirname, '../facts');
const kubernetes = findModule('k8s.io/kubernetes');
const modules = {
  api: findModule('k8s.io/api'),
  apimachinery: findModule('k8s.io/apimachinery'),
  apiextensions: findModule('k8s.io/apiextensions-apiserver'),
  aggregator: findModule('k8s.io/kube-aggregator'),
};

writeFacts(join(facts, 'resources.gen.json'), [kubernetes], { ...extractResources(kubernetes) });
writeFacts(join(facts, 'types.gen.json'), Object.values(modules), { types: extractTypes(modules) });
writeObjects(modules.api, join(facts, '../testdata/objects.gen.json.gz'));
writeDescriptions(kubernetes, join(facts, 'descriptions.gen.json.gz'));
