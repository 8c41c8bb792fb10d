/** Rules of v1 ServiceAccounts. Source: kubernetes v1.36.3 pkg/apis/core/validation. */
import type { ServiceAccount } from '#base/kube/api/core-v1.gen.ts';
import type { ResourceRules } from '../resource.ts';
import { subdomainName, validateMeta, validateMetaUpdate } from './meta.ts';
import { collect, collectUpdate } from './strategies.ts';
import { age, tableOf } from './tables.ts';

const META = { namespaced: true, name: subdomainName, coreFinalizers: true };

export const serviceAccountRules: ResourceRules<ServiceAccount> = {
  group: '',
  version: 'v1',
  resource: 'serviceaccounts',
  validate: (account) => collect((e) => validateMeta(e, account.metadata, META)),
  validateUpdate: (account, old) =>
    collectUpdate(account, old, META, (e) => {
      validateMetaUpdate(e, account.metadata, old.metadata, META);
      validateMeta(e, account.metadata, META);
    }),
  returnsDeletedObject: true,
  table: tableOf('Name,Age', ({ metadata }, nowMs) => [
    metadata.name,
    age(metadata.creationTimestamp, nowMs),
  ]),
};
