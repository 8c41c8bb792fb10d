import t from 'tap';
import { resolveUser, type UserRequest } from './user.ts';

const FILES = {
  passwd:
    'root:x:0:0:root:/root:/bin/sh\n# note\nbroken:x\nweb:x:1001:1002::/:/bin/sh\n7:x:70:71::/:\n',
  group: 'root:x:0:\nweb:x:1002:\nwheel:x:10:root,web\nextra:x:1003:web\n12:x:120:\n',
};

const CASES: readonly {
  name: string;
  request: Partial<UserRequest>;
  uid: number;
  gid: number;
  groups: readonly number[];
}[] = [
  { name: 'nothing asked is root', request: {}, uid: 0, gid: 0, groups: [0, 10] },
  {
    name: 'image name',
    request: { imageUser: 'web' },
    uid: 1001,
    gid: 1002,
    groups: [1002, 10, 1003],
  },
  {
    name: 'image number',
    request: { imageUser: '1001' },
    uid: 1001,
    gid: 1002,
    groups: [1002, 10, 1003],
  },
  { name: 'image unknown number', request: { imageUser: '5000' }, uid: 5000, gid: 0, groups: [0] },
  {
    name: 'image name:group',
    request: { imageUser: 'web:wheel' },
    uid: 1001,
    gid: 10,
    groups: [10, 1003],
  },
  { name: 'image number:number', request: { imageUser: '1:2' }, uid: 1, gid: 2, groups: [2] },
  {
    name: 'names that are numbers win',
    request: { imageUser: '7:12' },
    uid: 70,
    gid: 120,
    groups: [120],
  },
  {
    name: 'user of the pod',
    request: { runAsUser: 1001, imageUser: 'root' },
    uid: 1001,
    gid: 1002,
    groups: [1002, 10, 1003],
  },
  {
    name: 'user name of the pod',
    request: { runAsUserName: 'web' },
    uid: 1001,
    gid: 1002,
    groups: [1002, 10, 1003],
  },
  {
    name: 'group of the pod',
    request: { runAsUser: 5, runAsGroup: 6 },
    uid: 5,
    gid: 6,
    groups: [6],
  },
  {
    name: "group of the pod over the image's",
    request: { runAsGroup: 6, imageUser: 'web:wheel' },
    uid: 1001,
    gid: 6,
    groups: [6, 10, 1003],
  },
  {
    name: 'supplemental groups',
    request: { supplementalGroups: [50, 10] },
    uid: 0,
    gid: 0,
    groups: [0, 50, 10],
  },
  {
    name: "strict leaves out the image's groups",
    request: { imageUser: 'web', supplementalGroups: [50], supplementalGroupsPolicy: 'Strict' },
    uid: 1001,
    gid: 1002,
    groups: [1002, 50],
  },
];

for (const { name, request, uid, gid, groups } of CASES) {
  const whole: UserRequest = {
    supplementalGroups: [],
    supplementalGroupsPolicy: 'Merge',
    imageUser: '',
    ...request,
  };
  t.same(resolveUser(whole, FILES), { uid, gid, supplementalGroups: groups }, name);
}

for (const imageUser of ['nobody', 'web:nogroup', '-1', '4294967296']) {
  const request: UserRequest = {
    supplementalGroups: [],
    supplementalGroupsPolicy: 'Merge',
    imageUser,
  };
  t.throws(() => resolveUser(request, FILES), { code: 'INVALID_USER' }, imageUser);
}
t.same(
  resolveUser(
    { supplementalGroups: [], supplementalGroupsPolicy: 'Merge', imageUser: '' },
    { passwd: '', group: '' },
  ),
  { uid: 0, gid: 0, supplementalGroups: [0] },
  'an image without /etc/passwd',
);
