/** `make image`: everything that machines boot, into out/image; prints the size of each part. */
import { imagePaths } from './paths.ts';
import {
  makeBootable,
  makeBootFiles,
  makeRootTree,
  makeSbom,
  preparePackages,
  printSizes,
} from './steps.ts';

const paths = imagePaths();
const prepared = preparePackages(paths);
const tree = await makeRootTree(paths, prepared);
const files = makeBootFiles(paths, prepared, tree);
const { uki } = makeBootable(paths, prepared, tree, files);
const { sbom } = makeSbom(paths, prepared, tree, uki);
printSizes({ kernel: files.kernel, root: files.erofs, initramfs: files.initramfs, uki, sbom });
const { drift } = prepared.fetched;
if (drift.length > 0)
  console.log(`lock: drifted: ${drift.length} packages; make lock makes them the locked ones`);
