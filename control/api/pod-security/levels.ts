/**
 * The labels by which a namespace says what its pods may do: a level and a version for each of three
 * modes. Pure. Source: k8s.io/pod-security-admission v0.36.3 api/helpers.go.
 */
import type { FieldErrors } from '../resources/field-errors.ts';

const LEVELS = ['privileged', 'baseline', 'restricted'] as const;
export type Level = (typeof LEVELS)[number];

export interface LevelVersion {
  readonly level: Level;
  /** Of version 1; Infinity for the latest. */
  readonly minor: number;
}

export interface Policy {
  /** Pods that violate it are refused. */
  readonly enforce: LevelVersion;
  /** They are noted in the audit log. */
  readonly audit: LevelVersion;
  /** Whoever makes them, or what makes them, is warned. */
  readonly warn: LevelVersion;
}

export const PREFIX = 'pod-security.kubernetes.io/';

/** `restricted:latest`, `baseline:v1.24` */
export const formatLevel = ({ level, minor }: LevelVersion): string =>
  `${level}:${minor === Infinity ? 'latest' : `v1.${minor}`}`;

export const isSameLevel = (a: LevelVersion, b: LevelVersion): boolean =>
  a.level === b.level && a.minor === b.minor;

/** Negative when `a` allows more than `b`. */
export const compareLevels = (a: Level, b: Level): number => LEVELS.indexOf(a) - LEVELS.indexOf(b);

const isLevel = (text: string): text is Level => (LEVELS as readonly string[]).includes(text);

function parseVersion(text: string): number | undefined {
  if (text === 'latest') return Infinity;
  const match = /^v1\.([0-9]|[1-9][0-9]*)$/.exec(text);
  return match?.[1] === undefined ? undefined : Number(match[1]);
}

/**
 * The policy of a namespace with these labels; values that are none are reported, and count as
 * restricted where they enforce, as privileged where they do not.
 */
export function policyOf(
  labels: Readonly<Record<string, string>> | undefined,
  errors: FieldErrors,
): Policy {
  const read = (mode: keyof Policy, wrong: Level): Partial<LevelVersion> => {
    const level = labels?.[PREFIX + mode];
    const version = labels?.[`${PREFIX}${mode}-version`];
    const path = (label: string) => `metadata.labels[${PREFIX}${label}]`;
    const minor = version === undefined ? undefined : parseVersion(version);
    if (level !== undefined && !isLevel(level)) {
      errors.invalid(path(mode), level, `must be one of ${LEVELS.join(', ')}`);
    }
    if (version !== undefined && minor === undefined) {
      errors.invalid(path(`${mode}-version`), version, 'must be "latest" or "v1.x"');
    }
    return {
      ...(level === undefined ? {} : { level: isLevel(level) ? level : wrong }),
      ...(version === undefined ? {} : { minor: minor ?? Infinity }),
    };
  };
  const open: LevelVersion = { level: 'privileged', minor: Infinity };
  const enforce = { ...open, ...read('enforce', 'restricted') };
  const audit = { ...open, ...read('audit', 'privileged') };
  const asked = read('warn', 'privileged');
  // What is enforced is also warned of, unless said otherwise; not where the label is wrong.
  const isEnforced = isLevel(labels?.[`${PREFIX}enforce`] ?? '') && enforce.level !== 'privileged';
  const follows = asked.level === undefined && isEnforced ? enforce : open;
  return { enforce, audit, warn: { ...follows, ...asked } };
}
