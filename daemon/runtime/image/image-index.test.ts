import t from 'tap';
import type { ImageConfig } from '../port.ts';
import {
  findImage,
  type ImageIndex,
  imageOf,
  type ImageRecord,
  withImage,
  withoutImage,
} from './image-index.ts';

const digest = (letter: string): string => `sha256:${letter.repeat(64)}`;

function record(
  letter: string,
  tags: readonly string[],
  digests: readonly string[] = [],
): ImageRecord {
  return { id: digest(letter), tags, digests, sizeBytes: 1, addedAtMs: 0, layers: [] };
}

const BUSYBOX = 'docker.io/library/busybox:latest';
const NAME = `docker.io/library/busybox@${digest('d')}`;

let index: ImageIndex = withImage([], record('a', [BUSYBOX], [NAME]));
index = withImage(index, record('b', ['docker.io/library/other:1']));

t.equal(findImage(index, 'busybox')?.id, digest('a'));
t.equal(findImage(index, digest('b'))?.id, digest('b'));
t.equal(findImage(index, 'b'.repeat(64))?.id, digest('b'));
t.equal(findImage(index, `busybox@${digest('d')}`)?.id, digest('a'));
t.equal(findImage(index, `busybox:anything@${digest('d')}`)?.id, digest('a'));
t.equal(findImage(index, `busybox@${digest('e')}`), undefined);
t.equal(findImage(index, 'other'), undefined);
t.equal(findImage(index, 'other:1')?.id, digest('b'));
t.equal(findImage(index, 'Not A Name'), undefined);

index = withImage(index, record('c', [BUSYBOX]));
t.equal(findImage(index, 'busybox')?.id, digest('c'), 'a tag moves to the newer image');
t.same(index.find((image) => image.id === digest('a'))?.tags, []);
t.equal(findImage(index, NAME)?.id, digest('a'), 'its digest stays');
index = withImage(index, record('c', ['x.io/y:z']));
t.same(findImage(index, 'busybox')?.tags, [BUSYBOX, 'x.io/y:z'], 'names of one image add up');
t.equal(index.length, 3);
t.equal(withoutImage(index, digest('c')).length, 2);

const config = {} as ImageConfig; // Not looked at.
const isPinned = (...names: [readonly string[], readonly string[]]) =>
  imageOf(record('a', ...names), config).pinned;
t.equal(isPinned([BUSYBOX], []), true, 'no registry has it');
t.equal(isPinned([BUSYBOX], [NAME]), false);
t.equal(isPinned([], []), false, 'its name went to another image');
