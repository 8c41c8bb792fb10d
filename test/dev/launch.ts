/**
 * `make dev` and `make dev-stop`: a node without the OS, in namespaces of its own, Ready in seconds.
 *   launch.ts up [--image FILE ...]    builds the root tree, starts the node, waits until it is Ready
 *   launch.ts down                     ends it; nothing of it is left on the host
 * State lies in out/dev; the next `up` goes on with it. Needs root.
 */
import { execFileSync, spawn } from 'node:child_process';
import {
  createReadStream,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { get } from 'node:https';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { isRunning, type ProcessId, processId } from '#base/linux/process.ts';
import { formatKubeconfig } from '#base/pki/kubeconfig.ts';
import {
  adminCredentials,
  agentFiles,
  type ClusterAuthorities,
  controlFiles,
  writePkiFiles,
} from '#base/pki/node-certificates.ts';
import { createCa, createSigningKey, type KeyPair } from '#base/pki/pki.ts';
import { type Chunk, Images } from '#base/protocol/bareboat.gen.ts';
import { connectUnix } from '#base/protocol/protocol.ts';
import { createCgroups, parseHierarchies, processesIn, removeCgroups } from './cgroups.ts';
import type { EnterConfig } from './enter.ts';
import { type DevIdentity, devIdentity } from './identity.ts';

const CHECKOUT = dirname(dirname(import.meta.dirname));
const YEAR_MS = 365 * 24 * 3600 * 1000;
const READY_TIMEOUT_MS = 60_000;
const IMPORT_TIMEOUT_MS = 300_000;
const AGENT_SOCKET = '/run/bareboat/agent/agent.sock';
const CONTROL_UID = 902;
const NETWORK = {
  serviceCidr: '10.96.0.0/16',
  serviceIp: '10.96.0.1',
  clusterDns: '10.96.0.10',
  podCidr: '10.244.0.0/16',
  clusterDomain: 'cluster.local',
} as const;

/** The disk is the host's, and how full that is says nothing about the node. */
const HOST_DISK: object = {
  evictionHard: {
    'nodefs.available': '0%',
    'nodefs.inodesFree': '0%',
    'imagefs.available': '0%',
    'imagefs.inodesFree': '0%',
  },
  imageGCHighThresholdPercent: 100,
};

/** Starts the node of this checkout; a node that runs already is ended first. */
export async function up(
  identity: DevIdentity,
  images: readonly string[],
  kubelet: object = HOST_DISK,
): Promise<void> {
  await down(identity);
  const { dir, nodeName, nodeIp } = identity;
  for (const sub of ['var', 'config', 'pki']) mkdirSync(join(dir, sub), { recursive: true });
  const credentials = await writeConfig(identity, kubelet);
  const hierarchies = parseHierarchies(readFileSync('/proc/self/mountinfo', 'utf8'));
  const joinFiles = createCgroups(hierarchies, identity.cgroup);
  const config: EnterConfig = {
    root: ownRoot(identity),
    varDir: join(dir, 'var'),
    configDir: join(dir, 'config'),
    hostname: nodeName,
    hierarchies,
    init: ['/usr/bin/node', '--no-warnings', '/usr/lib/bareboat/dev-init.js'],
  };
  const joinAll = joinFiles.map((file) => `echo $$ > '${file}'`).join(' && ');
  const node = process.execPath;
  const enter = join(import.meta.dirname, 'enter.ts');
  const logFile = join(dir, 'init.log');
  const logFd = openSync(logFile, 'a');
  const child = spawn(
    '/bin/sh',
    [
      '-c',
      `${joinAll} && exec unshare --mount --net --pid --uts --ipc --cgroup --fork --kill-child=KILL "$@"`,
      'sh',
      node,
      '--no-warnings',
      enter,
      JSON.stringify(config),
    ],
    { detached: true, stdio: ['ignore', logFd, logFd] },
  );
  child.unref();
  const init = await childOf(child.pid ?? 0);
  writeFileSync(join(dir, 'init.pid'), `${init.pid} ${init.startTicks}`);
  connect(identity, init.pid);
  const kubeconfig = join(dir, 'kubeconfig');
  writeFileSync(kubeconfig, formatKubeconfig(credentials), { mode: 0o600 });
  await waitReady(identity, init, credentials);
  for (const image of images) await importImage(init.pid, image);
  console.log(`node ${nodeName} is Ready at https://${nodeIp}:6443`);
  console.log(`export KUBECONFIG=${kubeconfig}`);
}

/** Ends the node of this checkout, and takes away its link and cgroups. Idempotent. */
export async function down(identity: DevIdentity): Promise<void> {
  const pidFile = join(identity.dir, 'init.pid');
  const init = runningInit(pidFile);
  if (init !== undefined) {
    process.kill(init.pid, 'SIGTERM');
    for (let waited = 0; waited < 20_000 && isRunning(init); waited += 50) await sleep(50);
    if (isRunning(init)) process.kill(init.pid, 'SIGKILL');
    for (let waited = 0; waited < 5_000 && isRunning(init); waited += 50) await sleep(50);
  }
  rmSync(pidFile, { force: true });
  await removeLink(identity.hostLink);
  const hierarchies = parseHierarchies(readFileSync('/proc/self/mountinfo', 'utf8'));
  // Also what an `up` that was interrupted, or whose record is lost, left running.
  for (const pid of processesIn(hierarchies, identity.cgroup)) process.kill(pid, 'SIGKILL');
  await retryBusy(() => removeCgroups(hierarchies, identity.cgroup));
}

/** A tree of its own, by hard links: building the next root must not pull this one from under the node. */
function ownRoot(identity: DevIdentity): string {
  const root = join(identity.dir, 'root');
  rmSync(root, { recursive: true, force: true });
  execFileSync('cp', ['-al', join(CHECKOUT, 'out/root'), root]);
  return root;
}

/** The pair goes with the node's network namespace, a moment after its last process. */
async function removeLink(name: string): Promise<void> {
  const exists = () => existsSync(`/sys/class/net/${name}`);
  for (let waited = 0; waited < 2_000 && exists(); waited += 50) await sleep(50);
  if (!exists()) return;
  try {
    ip('link', 'del', name);
  } catch (error) {
    if (exists()) throw error; // Otherwise it went by itself.
  }
}

interface Credentials {
  readonly cluster: string;
  readonly user: string;
  readonly server: string;
  readonly caCertificate: string;
  readonly credentials: KeyPair;
}

/** Writes configuration and certificates of the node's processes; returns the administrator's. */
async function writeConfig(identity: DevIdentity, kubelet: object): Promise<Credentials> {
  const { dir, nodeName, nodeIp } = identity;
  const nowMs = Date.now();
  const authorities = await clusterAuthorities(join(dir, 'pki'), nowMs);
  const names = {
    nodeName,
    ips: [nodeIp],
    serviceIp: NETWORK.serviceIp,
    clusterDomain: NETWORK.clusterDomain,
    extraNames: [],
  };
  const owner = { uid: CONTROL_UID, gid: CONTROL_UID };
  const config = join(dir, 'config');
  writePkiFiles(join(config, 'pki/control'), await controlFiles(authorities, names, nowMs), owner);
  writePkiFiles(join(config, 'pki/agent'), await agentFiles(authorities, names, nowMs));
  const shared = {
    nodeName,
    serviceCidr: NETWORK.serviceCidr,
    podCidr: NETWORK.podCidr,
    clusterDomain: NETWORK.clusterDomain,
    logLevel: 'info',
  };
  const control = {
    ...shared,
    dataDir: '/var/lib/bareboat/control',
    listen: { port: 6443 },
    advertiseAddress: nodeIp,
    nodePortRange: [30000, 32767],
    pkiDir: '/run/bareboat/config/pki/control',
  };
  const agent = {
    ...shared,
    nodeIp,
    apiServer: 'https://127.0.0.1:6443',
    dataDir: '/var/lib/bareboat/agent',
    runDir: '/run/bareboat/agent',
    pkiDir: '/run/bareboat/config/pki/agent',
    clusterDns: NETWORK.clusterDns,
    cgroupRoot: '/',
    kubeletPort: 10250,
    socketPath: AGENT_SOCKET,
    kubelet,
  };
  writeFileSync(join(config, 'control.json'), JSON.stringify(control, undefined, 2));
  writeFileSync(join(config, 'agent.json'), JSON.stringify(agent, undefined, 2));
  return {
    cluster: nodeName,
    user: 'admin',
    server: `https://${nodeIp}:6443`,
    caCertificate: authorities.kubernetes.certificate,
    credentials: await adminCredentials(authorities, { nowMs, lifetimeMs: YEAR_MS }),
  };
}

/** The authorities of this development cluster, made at its first start. */
async function clusterAuthorities(dir: string, nowMs: number): Promise<ClusterAuthorities> {
  const path = join(dir, 'authorities.json');
  if (existsSync(path)) return JSON.parse(readFileSync(path, 'utf8'));
  const lifetimeMs = 10 * YEAR_MS;
  const authorities: ClusterAuthorities = {
    kubernetes: await createCa({ commonName: 'kubernetes', nowMs, lifetimeMs }),
    aggregator: await createCa({ commonName: 'kubernetes-front-proxy', nowMs, lifetimeMs }),
    serviceAccount: await createSigningKey(),
  };
  writeFileSync(path, JSON.stringify(authorities), { mode: 0o600 });
  return authorities;
}

/** A veth pair between the host and the node, which has no other link: addresses of a /30. */
function connect(identity: DevIdentity, init: number): void {
  const { hostLink, hostIp, nodeIp } = identity;
  ip('link', 'add', hostLink, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(init));
  ip('addr', 'add', `${hostIp}/30`, 'dev', hostLink);
  ip('link', 'set', hostLink, 'up');
  const inside = (...args: string[]) =>
    execFileSync('nsenter', [`--net=/proc/${init}/ns/net`, 'ip', ...args], { stdio: 'inherit' });
  inside('link', 'set', 'lo', 'up');
  inside('addr', 'add', `${nodeIp}/30`, 'dev', 'eth0');
  inside('link', 'set', 'eth0', 'up');
  inside('route', 'add', 'default', 'via', hostIp);
}

async function waitReady(
  identity: DevIdentity,
  init: ProcessId,
  admin: Credentials,
): Promise<void> {
  const deadline = Date.now() + READY_TIMEOUT_MS;
  let last = 'no answer yet';
  while (Date.now() < deadline) {
    // Without the node its address is somebody else's.
    if (!isRunning(init)) throw new Error(`the node ended: see ${identity.dir}/init.log`);
    try {
      const url = `https://${identity.nodeIp}:6443/api/v1/nodes/${identity.nodeName}`;
      const node = JSON.parse(await fetchJson(url, admin));
      const ready = node.status?.conditions?.find((c: { type: string }) => c.type === 'Ready');
      if (ready?.status === 'True') return;
      last = ready?.message ?? node.message ?? 'no Ready condition yet';
    } catch (error) {
      last = String(error);
    }
    await sleep(100);
  }
  throw new Error(
    `node not Ready after ${READY_TIMEOUT_MS / 1000} s: ${last}; logs: ${identity.dir}/var/log/bareboat`,
  );
}

function fetchJson(url: string, admin: Credentials): Promise<string> {
  const { certificate, key } = admin.credentials;
  const options = { ca: admin.caCertificate, cert: certificate, key, timeout: 2000 };
  return new Promise((resolve, reject) => {
    const request = get(url, options, (response) => {
      response.setEncoding('utf8');
      let text = '';
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve(text));
      response.on('error', reject);
    });
    request.on('timeout', () => request.destroy(new Error('no answer within 2 s')));
    request.on('error', reject);
  });
}

/** Streams an image archive to the agent, through its socket inside the node's mount namespace. */
async function importImage(init: number, image: string): Promise<void> {
  const signal = AbortSignal.timeout(IMPORT_TIMEOUT_MS);
  await using client = await connectUnix(`/proc/${init}/root${AGENT_SOCKET}`, signal);
  for await (const { names } of client.stream(Images.Import, archiveChunks(image), signal)) {
    console.log(`imported ${names.join(' ')}`);
  }
}

async function* archiveChunks(path: string): AsyncGenerator<Chunk> {
  for await (const data of createReadStream(path, { highWaterMark: 256 * 1024 })) yield { data };
}

/** The process that `unshare --fork` forked: process 1 of the node. */
async function childOf(parent: number): Promise<ProcessId> {
  for (let attempt = 0; attempt < 500; attempt++) {
    const path = `/proc/${parent}/task/${parent}/children`;
    const children = existsSync(path) ? readFileSync(path, 'utf8').trim() : '';
    const comm = existsSync(`/proc/${parent}/comm`)
      ? readFileSync(`/proc/${parent}/comm`, 'utf8').trim()
      : '';
    const id =
      comm === 'unshare' && children !== '' ? processId(Number(children.split(' ')[0])) : undefined;
    if (id !== undefined) return id;
    await sleep(10);
  }
  throw new Error(`the node did not start: see out/dev/init.log`);
}

/** The node's process 1, unless it has ended. */
function runningInit(pidFile: string): ProcessId | undefined {
  if (!existsSync(pidFile)) return undefined;
  const [pid, startTicks] = readFileSync(pidFile, 'utf8').split(' ').map(Number);
  const id = { pid: pid ?? 0, startTicks: startTicks ?? 0 };
  return isRunning(id) ? id : undefined;
}

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: 'inherit' });
}

/** A cgroup stays busy for a moment after its last process ended. */
async function retryBusy(run: () => void): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      run();
      return;
    } catch (error) {
      if (attempt === 50) throw error;
      await sleep(100);
    }
  }
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    options: { image: { type: 'string', multiple: true, default: [] } },
    allowPositionals: true,
  });
  const identity = devIdentity(CHECKOUT);
  if (positionals[0] === 'up') await up(identity, values.image);
  else if (positionals[0] === 'down') await down(identity);
  else throw new Error('usage: launch.ts up [--image FILE ...] | down');
}
