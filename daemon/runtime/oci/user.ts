/**
 * Who a container's first process is: numbers from the pod, else names looked up in the image's own
 * /etc/passwd and /etc/group. Pure over the two files' text. Rules as containerd's CRI plugin has
 * them: a number without entry gets group 0; the primary group is always among the groups.
 */
import { RuntimeError } from '../port.ts';

export interface UserRequest {
  readonly runAsUser?: number | undefined;
  readonly runAsGroup?: number | undefined;
  readonly runAsUserName?: string | undefined;
  readonly supplementalGroups: readonly number[];
  readonly supplementalGroupsPolicy: 'Merge' | 'Strict';
  /** `user[:group]` of the image's config; may be empty. */
  readonly imageUser: string;
}

export interface ResolvedUser {
  readonly uid: number;
  readonly gid: number;
  readonly supplementalGroups: readonly number[];
}

interface PasswdEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

interface GroupEntry {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

const ID_MAX = 2 ** 31 - 1;

export function resolveUser(
  request: UserRequest,
  files: { passwd: string; group: string },
): ResolvedUser {
  const passwd = parsePasswd(files.passwd);
  const groups = parseGroup(files.group);
  const { user, group } = requestedNames(request);
  const entry = findUser(passwd, user);
  const uid = entry?.uid ?? parseId(user);
  if (uid === undefined) throw new RuntimeError('INVALID_USER', `no user ${user} in the image`);
  const gid = group === undefined ? (entry?.gid ?? 0) : findGroup(groups, group);
  const merged =
    request.supplementalGroupsPolicy === 'Merge' && entry !== undefined
      ? groups.filter((g) => g.members.includes(entry.name)).map((g) => g.gid)
      : [];
  const supplementalGroups = [...new Set([gid, ...request.supplementalGroups, ...merged])];
  return { uid, gid, supplementalGroups };
}

function requestedNames(request: UserRequest): { user: string; group: string | undefined } {
  const group = request.runAsGroup === undefined ? undefined : String(request.runAsGroup);
  if (request.runAsUser !== undefined) return { user: String(request.runAsUser), group };
  if (request.runAsUserName !== undefined && request.runAsUserName !== '') {
    return { user: request.runAsUserName, group };
  }
  const [user = '', imageGroup] = request.imageUser.split(':');
  return {
    user: user === '' ? '0' : user,
    group: group ?? (imageGroup === '' ? undefined : imageGroup),
  };
}

function findUser(passwd: readonly PasswdEntry[], user: string): PasswdEntry | undefined {
  const byName = passwd.find((entry) => entry.name === user);
  if (byName !== undefined) return byName;
  const uid = parseId(user);
  return uid === undefined ? undefined : passwd.find((entry) => entry.uid === uid);
}

function findGroup(groups: readonly GroupEntry[], group: string): number {
  const gid = groups.find((entry) => entry.name === group)?.gid ?? parseId(group);
  if (gid === undefined) throw new RuntimeError('INVALID_USER', `no group ${group} in the image`);
  return gid;
}

function parseId(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,10}$/.test(text)) return undefined;
  const id = Number(text);
  return id <= ID_MAX ? id : undefined;
}

function lines(text: string): readonly string[][] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split(':'));
}

/** name:password:uid:gid:comment:home:shell; lines that are not are skipped, as libc does. */
function parsePasswd(text: string): readonly PasswdEntry[] {
  const entries: PasswdEntry[] = [];
  for (const [name = '', , uidText, gidText] of lines(text)) {
    const [uid, gid] = [parseId(uidText), parseId(gidText)];
    if (name !== '' && uid !== undefined && gid !== undefined) entries.push({ name, uid, gid });
  }
  return entries;
}

/** name:password:gid:member,member */
function parseGroup(text: string): readonly GroupEntry[] {
  const entries: GroupEntry[] = [];
  for (const [name = '', , gidText, members = ''] of lines(text)) {
    const gid = parseId(gidText);
    if (name === '' || gid === undefined) continue;
    entries.push({ name, gid, members: members.split(',').filter((member) => member !== '') });
  }
  return entries;
}
