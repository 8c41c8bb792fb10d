/**
 * The RuntimeDefault seccomp profile: containerd's default as a function of architecture and
 * capabilities. Pure; runc hands it to libseccomp and leaves out names that this does not know.
 */
import { ALWAYS, BY_CAPABILITY } from './seccomp-names.gen.ts';

interface Argument {
  readonly index: number;
  readonly value: number;
  readonly valueTwo?: number;
  readonly op: 'SCMP_CMP_EQ' | 'SCMP_CMP_LT' | 'SCMP_CMP_GT' | 'SCMP_CMP_MASKED_EQ';
}

interface Rule {
  readonly names: readonly string[];
  readonly action: 'SCMP_ACT_ALLOW' | 'SCMP_ACT_ERRNO';
  readonly errnoRet?: number;
  readonly args?: readonly Argument[];
}

export interface Seccomp {
  readonly defaultAction: 'SCMP_ACT_ERRNO';
  readonly architectures: readonly string[];
  readonly syscalls: readonly Rule[];
}

const ARCHITECTURES: Readonly<Record<string, readonly string[]>> = {
  x64: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
  arm64: ['SCMP_ARCH_ARM', 'SCMP_ARCH_AARCH64'],
};

const BY_ARCH: Readonly<Record<string, readonly string[]>> = {
  x64: ['arch_prctl', 'modify_ldt'],
  arm64: [
    'arm_fadvise64_64',
    'arm_sync_file_range',
    'sync_file_range2',
    'breakpoint',
    'cacheflush',
    'set_tls',
  ],
};

const AF_ALG = 38;
const AF_VSOCK = 40;
const ENOSYS = 38;
/** Every CLONE_NEW* but NEWTIME. */
const CLONE_NAMESPACES = 0x7e020000;
/** Linux, without address randomisation, UNAME26, both, and asking for the current one. */
const PERSONALITIES = [0x0, 0x8, 0x20000, 0x20008, 0xffffffff] as const;

function allow(names: readonly string[], argument?: Argument): Rule {
  const args = argument === undefined ? {} : { args: [argument] };
  return { names, action: 'SCMP_ACT_ALLOW', ...args };
}

/** `capabilities` as `CAP_*`. */
export function defaultSeccompProfile(arch: string, capabilities: ReadonlySet<string>): Seccomp {
  const isAdmin = capabilities.has('CAP_SYS_ADMIN');
  const syscalls: Rule[] = [
    allow(ALWAYS),
    // All but AF_ALG and AF_VSOCK; one condition each, which every libseccomp keeps apart.
    allow(['socket'], { index: 0, value: AF_ALG, op: 'SCMP_CMP_LT' }),
    allow(['socket'], { index: 0, value: AF_ALG + 1, op: 'SCMP_CMP_EQ' }),
    allow(['socket'], { index: 0, value: AF_VSOCK, op: 'SCMP_CMP_GT' }),
    ...PERSONALITIES.map((value) => allow(['personality'], { index: 0, value, op: 'SCMP_CMP_EQ' })),
    allow(['process_vm_readv', 'process_vm_writev', 'ptrace']),
  ];
  const ofArch = BY_ARCH[arch];
  if (ofArch !== undefined) syscalls.push(allow(ofArch));
  for (const [capability, names] of Object.entries(BY_CAPABILITY)) {
    if (capabilities.has(capability)) syscalls.push(allow(names));
  }
  if (!isAdmin) {
    syscalls.push(
      allow(['clone'], {
        index: 0,
        value: CLONE_NAMESPACES,
        valueTwo: 0,
        op: 'SCMP_CMP_MASKED_EQ',
      }),
      // glibc falls back to clone on ENOSYS; it takes EPERM for an answer.
      { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: ENOSYS },
    );
  }
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    architectures: ARCHITECTURES[arch] ?? [],
    syscalls,
  };
}
