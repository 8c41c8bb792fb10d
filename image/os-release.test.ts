import t from 'tap';
import { osRelease } from './os-release.ts';
import { imagePaths } from './paths.ts';

t.test('osRelease() marks an image whose lock was not kept', async (t) => {
  const drift = [{ name: 'runc', locked: '1', used: '2' }];
  t.match(osRelease(imagePaths(), { drift: [] }), /^BAREBOAT_LOCK=[0-9a-f]{12}$/m);
  t.match(osRelease(imagePaths(), { drift }), /^BAREBOAT_LOCK=[0-9a-f]{12}-drifted$/m);
});
