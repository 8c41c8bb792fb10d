/**
 * Which Debian packages the image is made of, by use. `root` packages give files to the image
 * (image/root/manifest.ts names which); `build` packages are the tools that make it, unpacked with
 * everything they depend on into a build root, so that the host's compiler never shows; `test`
 * packages hold programs that tests compare with, and are no part of the image.
 * image/packages.lock.json fixes the versions; `make lock` resolves them anew. Of `root`, only what is
 * named here is fetched, of `test` too; a library that is missing fails the build of the root filesystem.
 */

export const RELEASE = 'trixie';

export type PackageSet = 'root' | 'build' | 'test';

export const PACKAGES: Readonly<Record<PackageSet, readonly string[]>> = {
  root: [
    'ca-certificates', // Mozilla's roots, for image registries
    'chrony', // time
    'conmon', // holds containers' stdio, outlives the agent
    'dhcpcd-base', // addresses
    'e2fsprogs', // ext4 of STATE, STORE and DATA
    'linux-image-cloud-amd64', // kernel and modules: stands for the versioned package it depends on
    'runc',
    // Libraries of the above and of Node; the manifest takes those that are needed.
    'libatomic1',
    'libblkid1',
    'libc6',
    'libcap2',
    'libcom-err2',
    'libext2fs2t64',
    'libffi8',
    'libgcc-s1',
    'libglib2.0-0t64',
    'libgmp10',
    'libgnutls30t64',
    'libhogweed6t64',
    'libidn2-0',
    'libnettle8t64',
    'libp11-kit0',
    'libpcre2-8-0',
    'libseccomp2',
    'libssl3t64',
    'libstdc++6',
    'libsystemd0',
    'libtasn1-6',
    'libunistring5',
    'libuuid1',
    'libzstd1',
    'zlib1g',
  ],
  build: [
    'binutils', // objcopy makes the UKI
    'dosfstools', // ESP
    'erofs-utils',
    'gcc', // stage0, dhcpcd's hook
    'kmod', // depmod
    'mtools', // ESP, without mounting
    'musl-dev', // libc of stage0 and dhcpcd's hook: static, a twentieth of glibc's size
    'musl-tools', // how gcc uses it
    'systemd-boot-efi', // UKI stub
    'xz-utils',
  ],
  test: [
    'etcd-server', // what our store is compared with; linked statically
  ],
};

/** Packages of the build root of which bytes go into the image: libc of static programs, the EFI stub. */
export const LINKED: readonly string[] = ['musl-dev', 'systemd-boot-efi'];
