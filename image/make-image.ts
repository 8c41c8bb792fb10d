/** `make image`: everything that machines boot, into out/image; prints the size of each part. */
import { imagePaths } from './paths.ts';
import { makeBootable, makeBootFiles, makeRootTree, preparePackages, printSizes } from './steps.ts';

const paths = imagePaths();
const prepared = preparePackages(paths);
const tree = await makeRootTree(paths, prepared);
const files = makeBootFiles(paths, prepared, tree);
const { uki } = makeBootable(paths, prepared, tree, files);
printSizes({ kernel: files.kernel, root: files.erofs, initramfs: files.initramfs, uki });
