/** The container cannot be configured as it is written; shown as CreateContainerConfigError. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}
