/** What tests of the API write: ConfigMaps, which nobody else has a say in. */

export const CONFIG_MAPS = '/api/v1/namespaces/default/configmaps';

export const configMap = (name: string, more: object = {}) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name },
  ...more,
});
