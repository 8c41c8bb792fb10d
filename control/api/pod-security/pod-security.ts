/**
 * The Pod Security Standards: what the levels baseline and restricted forbid, by version of the
 * standard. `violations` judges a pod. Pure; the table is that of k8s.io/pod-security-admission
 * v0.36.3 policy/, compared with its recorded judgements.
 */
import { type CheckPod, hasUserNamespace, isWindows, type PodLike, unless } from './checks.ts';
import {
  hostNamespaces,
  hostPathVolumes,
  hostPorts,
  hostProbes,
  restrictedVolumes,
  sysctls1v0,
  sysctls1v27,
  sysctls1v29,
  sysctls1v32,
} from './host-checks.ts';
import type { LevelVersion } from './levels.ts';
import {
  allowPrivilegeEscalation,
  capabilitiesBaseline,
  capabilitiesRestricted,
  privileged,
  procMount,
  runAsNonRoot,
  runAsUser,
  windowsHostProcess,
} from './privilege-checks.ts';
import {
  appArmorProfile,
  seccompAnnotations,
  seccompRequired,
  seccompSet,
  seLinuxOptions1v0,
  seLinuxOptions1v31,
} from './profile-checks.ts';

interface Check {
  /** Upstream's id: checks are reported in the order of their ids. */
  readonly id: string;
  /** By the minor version since which it holds, ascending. */
  readonly since: readonly (readonly [minor: number, check: CheckPod])[];
  /** Of restricted: the check of baseline in whose place this one stands. */
  readonly insteadOf?: string;
}

const BASELINE: readonly Check[] = [
  { id: 'appArmorProfile', since: [[0, appArmorProfile]] },
  { id: 'capabilities_baseline', since: [[0, capabilitiesBaseline]] },
  { id: 'hostNamespaces', since: [[0, hostNamespaces]] },
  { id: 'hostPathVolumes', since: [[0, hostPathVolumes]] },
  { id: 'hostPorts', since: [[0, hostPorts]] },
  { id: 'hostProbesAndHostLifecycle', since: [[34, hostProbes]] },
  { id: 'privileged', since: [[0, privileged]] },
  {
    id: 'procMount',
    since: [
      [0, procMount],
      [35, unless(hasUserNamespace, procMount)],
    ],
  },
  {
    id: 'seLinuxOptions',
    since: [
      [0, seLinuxOptions1v0],
      [31, seLinuxOptions1v31],
    ],
  },
  {
    id: 'seccompProfile_baseline',
    since: [
      [0, seccompAnnotations],
      [19, seccompSet],
    ],
  },
  {
    id: 'sysctls',
    since: [
      [0, sysctls1v0],
      [27, sysctls1v27],
      [29, sysctls1v29],
      [32, sysctls1v32],
    ],
  },
  { id: 'windowsHostProcess', since: [[0, windowsHostProcess]] },
];

const RESTRICTED: readonly Check[] = [
  {
    id: 'allowPrivilegeEscalation',
    since: [
      [8, allowPrivilegeEscalation],
      [25, unless(isWindows, allowPrivilegeEscalation)],
    ],
  },
  {
    id: 'capabilities_restricted',
    since: [
      [22, capabilitiesRestricted],
      [25, unless(isWindows, capabilitiesRestricted)],
    ],
    insteadOf: 'capabilities_baseline',
  },
  { id: 'procMount_restricted', since: [[35, procMount]], insteadOf: 'procMount' },
  { id: 'restrictedVolumes', since: [[0, restrictedVolumes]], insteadOf: 'hostPathVolumes' },
  {
    id: 'runAsNonRoot',
    since: [
      [0, runAsNonRoot],
      [35, unless(hasUserNamespace, runAsNonRoot)],
    ],
  },
  {
    id: 'runAsUser',
    since: [
      [23, runAsUser],
      [35, unless(hasUserNamespace, runAsUser)],
    ],
  },
  {
    id: 'seccompProfile_restricted',
    since: [
      [19, seccompRequired],
      [25, unless(isWindows, seccompRequired)],
    ],
    insteadOf: 'seccompProfile_baseline',
  },
];

/** The checks of a level at a version, in the order in which they are reported. */
function checksOf({ level, minor }: LevelVersion): CheckPod[] {
  if (level === 'privileged') return [];
  const versionOf = ({ since }: Check) => since.findLast(([from]) => from <= minor)?.[1];
  const restricted = level === 'restricted' ? RESTRICTED.filter(versionOf) : [];
  const replaced = new Set(restricted.map(({ insteadOf }) => insteadOf));
  const baseline = BASELINE.filter(({ id }) => !replaced.has(id));
  return [...baseline, ...restricted].map(versionOf).filter((check) => check !== undefined);
}

export interface Judgement {
  /** `privileged, hostPort`; empty when the pod may run. */
  readonly reasons: string;
  /** The same with the details of each. */
  readonly details: string;
}

/** What of a pod the level forbids. */
export function judge(level: LevelVersion, pod: PodLike): Judgement {
  const found = checksOf(level)
    .map((check) => check(pod))
    .filter((violation) => violation !== undefined);
  return {
    reasons: found.map(({ reason }) => reason).join(', '),
    details: found.map(({ reason, detail }) => `${reason} (${detail})`).join(', '),
  };
}
