/** Makes out/root, the root filesystem of the image as a directory: the root of `make dev`'s node. */
import { imagePaths } from './paths.ts';
import { makeRootTree, preparePackages } from './steps.ts';

const paths = imagePaths();
await makeRootTree(paths, preparePackages(paths));
