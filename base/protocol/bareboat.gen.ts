// Generated from base/protocol/bareboat.proto by base/protocol/generate.ts. Do not edit.
import type { Method } from './protocol.ts';

export const Machine = {
  GetVersion: {"service":"Machine","name":"GetVersion","role":"reader","request":"Empty","response":"Version","requestStream":false,"responseStream":false} as Method<Empty, Version>,
  GetStatus: {"service":"Machine","name":"GetStatus","role":"reader","request":"Empty","response":"MachineStatus","requestStream":false,"responseStream":false} as Method<Empty, MachineStatus>,
  WatchEvents: {"service":"Machine","name":"WatchEvents","role":"reader","request":"WatchEventsRequest","response":"Event","requestStream":false,"responseStream":true} as Method<WatchEventsRequest, Event>,
  GetConfig: {"service":"Machine","name":"GetConfig","role":"admin","request":"Empty","response":"Config","requestStream":false,"responseStream":false} as Method<Empty, Config>,
  ApplyConfig: {"service":"Machine","name":"ApplyConfig","role":"admin","request":"ApplyConfigRequest","response":"ApplyConfigResponse","requestStream":false,"responseStream":false} as Method<ApplyConfigRequest, ApplyConfigResponse>,
  Bootstrap: {"service":"Machine","name":"Bootstrap","role":"admin","request":"BootstrapRequest","response":"Empty","requestStream":false,"responseStream":false} as Method<BootstrapRequest, Empty>,
  Restore: {"service":"Machine","name":"Restore","role":"admin","request":"Chunk","response":"RestoreResponse","requestStream":true,"responseStream":false} as Method<Chunk, RestoreResponse>,
  InspectStore: {"service":"Machine","name":"InspectStore","role":"admin","request":"Empty","response":"StoreSurvivor","requestStream":false,"responseStream":false} as Method<Empty, StoreSurvivor>,
  RecoverStore: {"service":"Machine","name":"RecoverStore","role":"admin","request":"RecoverStoreRequest","response":"RecoveredStore","requestStream":false,"responseStream":false} as Method<RecoverStoreRequest, RecoveredStore>,
  GetKubeconfig: {"service":"Machine","name":"GetKubeconfig","role":"admin","request":"KubeconfigRequest","response":"Kubeconfig","requestStream":false,"responseStream":false} as Method<KubeconfigRequest, Kubeconfig>,
  ListServices: {"service":"Machine","name":"ListServices","role":"reader","request":"Empty","response":"ServiceList","requestStream":false,"responseStream":false} as Method<Empty, ServiceList>,
  ReadLog: {"service":"Machine","name":"ReadLog","role":"reader","request":"LogRequest","response":"LogChunk","requestStream":false,"responseStream":true} as Method<LogRequest, LogChunk>,
  ReadKernelLog: {"service":"Machine","name":"ReadKernelLog","role":"reader","request":"LogRequest","response":"LogChunk","requestStream":false,"responseStream":true} as Method<LogRequest, LogChunk>,
  Reboot: {"service":"Machine","name":"Reboot","role":"operator","request":"Empty","response":"Empty","requestStream":false,"responseStream":false} as Method<Empty, Empty>,
  Shutdown: {"service":"Machine","name":"Shutdown","role":"operator","request":"Empty","response":"Empty","requestStream":false,"responseStream":false} as Method<Empty, Empty>,
};

export const Images = {
  List: {"service":"Images","name":"List","role":"reader","request":"Empty","response":"ImageList","requestStream":false,"responseStream":false} as Method<Empty, ImageList>,
  Import: {"service":"Images","name":"Import","role":"operator","request":"Chunk","response":"ImportResponse","requestStream":true,"responseStream":false} as Method<Chunk, ImportResponse>,
  Remove: {"service":"Images","name":"Remove","role":"operator","request":"RemoveImageRequest","response":"RemoveImageResponse","requestStream":false,"responseStream":false} as Method<RemoveImageRequest, RemoveImageResponse>,
};

export const Store = {
  GetStatus: {"service":"Store","name":"GetStatus","role":"reader","request":"Empty","response":"StoreStatus","requestStream":false,"responseStream":false} as Method<Empty, StoreStatus>,
  Snapshot: {"service":"Store","name":"Snapshot","role":"admin","request":"Empty","response":"SnapshotPart","requestStream":false,"responseStream":true} as Method<Empty, SnapshotPart>,
  RemoveMember: {"service":"Store","name":"RemoveMember","role":"admin","request":"StoreMemberId","response":"Empty","requestStream":false,"responseStream":false} as Method<StoreMemberId, Empty>,
  MoveLeader: {"service":"Store","name":"MoveLeader","role":"admin","request":"StoreMemberId","response":"Empty","requestStream":false,"responseStream":false} as Method<StoreMemberId, Empty>,
  CreateJoinToken: {"service":"Store","name":"CreateJoinToken","role":"admin","request":"JoinTokenRequest","response":"JoinToken","requestStream":false,"responseStream":false} as Method<JoinTokenRequest, JoinToken>,
};

export const Pods = {
  End: {"service":"Pods","name":"End","role":"admin","request":"EndPodsRequest","response":"EndPodsResponse","requestStream":false,"responseStream":false} as Method<EndPodsRequest, EndPodsResponse>,
};

export interface Empty {
}

export interface Chunk {
  data: Uint8Array;
}

export interface Version {
  version: string;
  kubernetes: string;
  node: string;
  kernel: string;
  image: string;
}

export interface MachineStatus {
  nodeName: string;
  stage: string;
  blockedBy: string[];
  uptimeSeconds: number;
  bootId: string;
  bootReason: string;
  addresses: string[];
  memoryTotalBytes: number;
  memoryAvailableBytes: number;
  disks: Disk[];
  controlPlane: boolean;
  timeSynchronized: boolean;
  warnings: string[];
}

export interface Disk {
  name: string;
  mountPoint: string;
  sizeBytes: number;
  freeBytes: number;
}

export interface WatchEventsRequest {
  tail: number;
  follow: boolean;
}

export interface Event {
  atMs: number;
  source: string;
  message: string;
  level: string;
}

export interface Config {
  yaml: string;
}

export interface ApplyConfigRequest {
  yaml: string;
  mode: string;
  secrets: string;
}

export interface ApplyConfigResponse {
  effect: string;
  warnings: string[];
  diff: string;
}

export interface BootstrapRequest {
}

export interface RestoreResponse {
  revision: number;
}

export interface StoreSurvivor {
  groupId: number;
  memberId: number;
  lastTerm: number;
  lastIndex: number;
  commitIndex: number;
  members: StoreMember[];
  expelled: string;
}

export interface RecoverStoreRequest {
  groupId: number;
  memberId: number;
  lastTerm: number;
  lastIndex: number;
}

export interface RecoveredStore {
  groupId: number;
  memberId: number;
  revision: number;
}

export interface SnapshotPart {
  data: Uint8Array;
  revision: number;
  sizeBytes: number;
  sha256: string;
}

export interface StoreStatus {
  groupId: number;
  memberId: number;
  leaderId: number;
  revision: number;
  version: number;
  keyCount: number;
  liveBytes: number;
  quotaBytes: number;
  alarms: string[];
  members: StoreMember[];
}

export interface StoreMember {
  id: number;
  address: string;
  role: string;
}

export interface StoreMemberId {
  id: number;
}

export interface JoinTokenRequest {
  lifetimeSeconds: number;
}

export interface JoinToken {
  token: string;
}

export interface KubeconfigRequest {
  server: string;
  lifetimeSeconds: number;
}

export interface Kubeconfig {
  yaml: string;
}

export interface ServiceList {
  services: ServiceStatus[];
}

export interface ServiceStatus {
  name: string;
  state: string;
  pid: number;
  restarts: number;
  runningSeconds: number;
  lastExit: string;
  waitingFor: string[];
  memoryBytes: number;
}

export interface LogRequest {
  service: string;
  follow: boolean;
  tail: number;
}

export interface LogChunk {
  data: Uint8Array;
}

export interface RemoveImageRequest {
  image: string;
}

export interface RemoveImageResponse {
  freedBytes: number;
}

export interface ImageList {
  images: Image[];
}

export interface Image {
  id: string;
  tags: string[];
  digests: string[];
  sizeBytes: number;
}

export interface ImportResponse {
  names: string[];
}

export interface EndPodsRequest {
  graceSeconds: number;
}

export interface EndPodsResponse {
  running: string[];
}

export const schema = {"nested":{"bareboat":{"nested":{"v1":{"nested":{"Machine":{"methods":{"GetVersion":{"requestType":"Empty","responseType":"Version"},"GetStatus":{"requestType":"Empty","responseType":"MachineStatus"},"WatchEvents":{"requestType":"WatchEventsRequest","responseType":"Event","responseStream":true},"GetConfig":{"requestType":"Empty","responseType":"Config"},"ApplyConfig":{"requestType":"ApplyConfigRequest","responseType":"ApplyConfigResponse"},"Bootstrap":{"requestType":"BootstrapRequest","responseType":"Empty"},"Restore":{"requestType":"Chunk","requestStream":true,"responseType":"RestoreResponse"},"InspectStore":{"requestType":"Empty","responseType":"StoreSurvivor"},"RecoverStore":{"requestType":"RecoverStoreRequest","responseType":"RecoveredStore"},"GetKubeconfig":{"requestType":"KubeconfigRequest","responseType":"Kubeconfig"},"ListServices":{"requestType":"Empty","responseType":"ServiceList"},"ReadLog":{"requestType":"LogRequest","responseType":"LogChunk","responseStream":true},"ReadKernelLog":{"requestType":"LogRequest","responseType":"LogChunk","responseStream":true},"Reboot":{"requestType":"Empty","responseType":"Empty"},"Shutdown":{"requestType":"Empty","responseType":"Empty"}}},"Images":{"methods":{"List":{"requestType":"Empty","responseType":"ImageList"},"Import":{"requestType":"Chunk","requestStream":true,"responseType":"ImportResponse"},"Remove":{"requestType":"RemoveImageRequest","responseType":"RemoveImageResponse"}}},"Store":{"methods":{"GetStatus":{"requestType":"Empty","responseType":"StoreStatus"},"Snapshot":{"requestType":"Empty","responseType":"SnapshotPart","responseStream":true},"RemoveMember":{"requestType":"StoreMemberId","responseType":"Empty"},"MoveLeader":{"requestType":"StoreMemberId","responseType":"Empty"},"CreateJoinToken":{"requestType":"JoinTokenRequest","responseType":"JoinToken"}}},"Pods":{"methods":{"End":{"requestType":"EndPodsRequest","responseType":"EndPodsResponse"}}},"Empty":{"fields":{}},"Chunk":{"fields":{"data":{"type":"bytes","id":1}}},"Version":{"fields":{"version":{"type":"string","id":1},"kubernetes":{"type":"string","id":2},"node":{"type":"string","id":3},"kernel":{"type":"string","id":4},"image":{"type":"string","id":5}}},"MachineStatus":{"fields":{"nodeName":{"type":"string","id":1,"protoName":"node_name"},"stage":{"type":"string","id":2},"blockedBy":{"rule":"repeated","type":"string","id":3,"protoName":"blocked_by"},"uptimeSeconds":{"type":"double","id":4,"protoName":"uptime_seconds"},"bootId":{"type":"string","id":5,"protoName":"boot_id"},"bootReason":{"type":"string","id":6,"protoName":"boot_reason"},"addresses":{"rule":"repeated","type":"string","id":7},"memoryTotalBytes":{"type":"uint64","id":8,"protoName":"memory_total_bytes"},"memoryAvailableBytes":{"type":"uint64","id":9,"protoName":"memory_available_bytes"},"disks":{"rule":"repeated","type":"Disk","id":10},"controlPlane":{"type":"bool","id":11,"protoName":"control_plane"},"timeSynchronized":{"type":"bool","id":12,"protoName":"time_synchronized"},"warnings":{"rule":"repeated","type":"string","id":13}}},"Disk":{"fields":{"name":{"type":"string","id":1},"mountPoint":{"type":"string","id":2,"protoName":"mount_point"},"sizeBytes":{"type":"uint64","id":3,"protoName":"size_bytes"},"freeBytes":{"type":"uint64","id":4,"protoName":"free_bytes"}}},"WatchEventsRequest":{"fields":{"tail":{"type":"uint32","id":1},"follow":{"type":"bool","id":2}}},"Event":{"fields":{"atMs":{"type":"uint64","id":1,"protoName":"at_ms"},"source":{"type":"string","id":2},"message":{"type":"string","id":3},"level":{"type":"string","id":4}}},"Config":{"fields":{"yaml":{"type":"string","id":1}}},"ApplyConfigRequest":{"fields":{"yaml":{"type":"string","id":1},"mode":{"type":"string","id":2},"secrets":{"type":"string","id":3}}},"ApplyConfigResponse":{"fields":{"effect":{"type":"string","id":1},"warnings":{"rule":"repeated","type":"string","id":2},"diff":{"type":"string","id":3}}},"BootstrapRequest":{"fields":{}},"RestoreResponse":{"fields":{"revision":{"type":"uint64","id":1}}},"StoreSurvivor":{"fields":{"groupId":{"type":"uint64","id":1,"protoName":"group_id"},"memberId":{"type":"uint64","id":2,"protoName":"member_id"},"lastTerm":{"type":"uint64","id":3,"protoName":"last_term"},"lastIndex":{"type":"uint64","id":4,"protoName":"last_index"},"commitIndex":{"type":"uint64","id":5,"protoName":"commit_index"},"members":{"rule":"repeated","type":"StoreMember","id":6},"expelled":{"type":"string","id":7}}},"RecoverStoreRequest":{"fields":{"groupId":{"type":"uint64","id":1,"protoName":"group_id"},"memberId":{"type":"uint64","id":2,"protoName":"member_id"},"lastTerm":{"type":"uint64","id":3,"protoName":"last_term"},"lastIndex":{"type":"uint64","id":4,"protoName":"last_index"}}},"RecoveredStore":{"fields":{"groupId":{"type":"uint64","id":1,"protoName":"group_id"},"memberId":{"type":"uint64","id":2,"protoName":"member_id"},"revision":{"type":"uint64","id":3}}},"SnapshotPart":{"fields":{"data":{"type":"bytes","id":1},"revision":{"type":"uint64","id":2},"sizeBytes":{"type":"uint64","id":3,"protoName":"size_bytes"},"sha256":{"type":"string","id":4}}},"StoreStatus":{"fields":{"groupId":{"type":"uint64","id":1,"protoName":"group_id"},"memberId":{"type":"uint64","id":2,"protoName":"member_id"},"leaderId":{"type":"uint64","id":3,"protoName":"leader_id"},"revision":{"type":"uint64","id":4},"version":{"type":"uint32","id":5},"keyCount":{"type":"uint64","id":6,"protoName":"key_count"},"liveBytes":{"type":"uint64","id":7,"protoName":"live_bytes"},"quotaBytes":{"type":"uint64","id":8,"protoName":"quota_bytes"},"alarms":{"rule":"repeated","type":"string","id":9},"members":{"rule":"repeated","type":"StoreMember","id":10}}},"StoreMember":{"fields":{"id":{"type":"uint64","id":1},"address":{"type":"string","id":2},"role":{"type":"string","id":3}}},"StoreMemberId":{"fields":{"id":{"type":"uint64","id":1}}},"JoinTokenRequest":{"fields":{"lifetimeSeconds":{"type":"uint64","id":1,"protoName":"lifetime_seconds"}}},"JoinToken":{"fields":{"token":{"type":"string","id":1}}},"KubeconfigRequest":{"fields":{"server":{"type":"string","id":1},"lifetimeSeconds":{"type":"uint64","id":2,"protoName":"lifetime_seconds"}}},"Kubeconfig":{"fields":{"yaml":{"type":"string","id":1}}},"ServiceList":{"fields":{"services":{"rule":"repeated","type":"ServiceStatus","id":1}}},"ServiceStatus":{"fields":{"name":{"type":"string","id":1},"state":{"type":"string","id":2},"pid":{"type":"uint32","id":3},"restarts":{"type":"uint32","id":4},"runningSeconds":{"type":"double","id":5,"protoName":"running_seconds"},"lastExit":{"type":"string","id":6,"protoName":"last_exit"},"waitingFor":{"rule":"repeated","type":"string","id":7,"protoName":"waiting_for"},"memoryBytes":{"type":"uint64","id":8,"protoName":"memory_bytes"}}},"LogRequest":{"fields":{"service":{"type":"string","id":1},"follow":{"type":"bool","id":2},"tail":{"type":"uint32","id":3}}},"LogChunk":{"fields":{"data":{"type":"bytes","id":1}}},"RemoveImageRequest":{"fields":{"image":{"type":"string","id":1}}},"RemoveImageResponse":{"fields":{"freedBytes":{"type":"uint64","id":1,"protoName":"freed_bytes"}}},"ImageList":{"fields":{"images":{"rule":"repeated","type":"Image","id":1}}},"Image":{"fields":{"id":{"type":"string","id":1},"tags":{"rule":"repeated","type":"string","id":2},"digests":{"rule":"repeated","type":"string","id":3},"sizeBytes":{"type":"uint64","id":4,"protoName":"size_bytes"}}},"ImportResponse":{"fields":{"names":{"rule":"repeated","type":"string","id":1}}},"EndPodsRequest":{"fields":{"graceSeconds":{"type":"uint32","id":1,"protoName":"grace_seconds"}}},"EndPodsResponse":{"fields":{"running":{"rule":"repeated","type":"string","id":1}}}}}}}}} as const;
