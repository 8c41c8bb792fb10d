/**
 * The unified kernel image (UAPI group specification "UKI"): systemd's EFI stub with the kernel, the
 * initramfs, the command line and os-release as PE sections behind its own. Firmware starts it as one
 * file. objcopy of the build root adds the sections; their addresses are computed here, because they
 * must not overlap and must lie on section boundaries.
 */
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { assert } from '#base/assert.ts';
import type { BuildRoot } from './build-root.ts';

const STUBS: Readonly<Record<string, string>> = {
  amd64: 'usr/lib/systemd/boot/efi/linuxx64.efi.stub',
  arm64: 'usr/lib/systemd/boot/efi/linuxaa64.efi.stub',
};

export interface UkiParts {
  readonly kernel: string;
  readonly initramfs: string;
  readonly osRelease: string;
  readonly commandLine: string;
  readonly kernelVersion: string;
}

/** Writes the UKI of `parts` to `target`. `work` is a scratch folder. */
export function buildUki(
  buildRoot: BuildRoot,
  parts: UkiParts,
  options: { architecture: string; work: string; target: string },
): void {
  const { architecture, work, target } = options;
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  const stub = STUBS[architecture];
  assert(stub !== undefined, `no EFI stub for ${architecture}`);
  copyFileSync(buildRoot.path(stub), join(work, 'stub'));
  cpSync(parts.kernel, join(work, 'linux'));
  cpSync(parts.initramfs, join(work, 'initrd'));
  writeFileSync(join(work, 'osrel'), parts.osRelease);
  writeFileSync(join(work, 'cmdline'), parts.commandLine);
  writeFileSync(join(work, 'uname'), parts.kernelVersion);
  const stubLayout = readPeLayout(readFileSync(join(work, 'stub')));
  let address = stubLayout.endAddress;
  // The kernel comes last: the stub may need room behind it.
  const sections = ['osrel', 'cmdline', 'uname', 'initrd', 'linux'].flatMap((name) => {
    const at = address;
    address = align(at + statSync(join(work, name)).size, stubLayout.alignment);
    return [
      `--add-section=.${name}=/work/${name}`,
      `--change-section-vma=.${name}=0x${at.toString(16)}`,
      `--set-section-flags=.${name}=data,readonly`,
    ];
  });
  buildRoot.run(
    ['objcopy', '--enable-deterministic-archives', ...sections, '/work/stub', '/work/uki'],
    work,
  );
  copyFileSync(join(work, 'uki'), target);
  rmSync(work, { recursive: true });
}

/**
 * Where sections may be added: the image base plus the end of the last section, rounded up (PE format,
 * "Optional Header Windows-Specific Fields" and "Section Table").
 */
export function readPeLayout(file: Buffer): { endAddress: number; alignment: number } {
  const pe = file.readUInt32LE(0x3c);
  assert(file.toString('latin1', pe, pe + 4) === 'PE\0\0', 'the EFI stub is no PE file');
  const sectionCount = file.readUInt16LE(pe + 6);
  const optionalSize = file.readUInt16LE(pe + 20);
  const optional = pe + 24;
  assert(file.readUInt16LE(optional) === 0x20b, 'the EFI stub is no PE32+ file');
  const imageBase = Number(file.readBigUInt64LE(optional + 24));
  const alignment = file.readUInt32LE(optional + 32);
  let end = 0;
  for (let index = 0; index < sectionCount; index++) {
    const at = optional + optionalSize + index * 40;
    end = Math.max(end, file.readUInt32LE(at + 12) + file.readUInt32LE(at + 8));
  }
  return { endAddress: imageBase + align(end, alignment), alignment };
}

function align(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}
