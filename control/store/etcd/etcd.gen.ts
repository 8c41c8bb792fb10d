// Generated from control/store/etcd/etcd.proto by control/store/etcd/generate.ts. Do not edit.
import type { Long, Method } from './rpc.ts';

export const KV = {
  Range: {"path":"/etcdserverpb.KV/Range","request":"RangeRequest","response":"RangeResponse"} as Method<RangeRequest, RangeResponse>,
  Txn: {"path":"/etcdserverpb.KV/Txn","request":"TxnRequest","response":"TxnResponse"} as Method<TxnRequest, TxnResponse>,
  Compact: {"path":"/etcdserverpb.KV/Compact","request":"CompactionRequest","response":"CompactionResponse"} as Method<CompactionRequest, CompactionResponse>,
};

export const Watch = {
  Watch: {"path":"/etcdserverpb.Watch/Watch","request":"WatchRequest","response":"WatchResponse"} as Method<WatchRequest, WatchResponse>,
};

export const Lease = {
  LeaseGrant: {"path":"/etcdserverpb.Lease/LeaseGrant","request":"LeaseGrantRequest","response":"LeaseGrantResponse"} as Method<LeaseGrantRequest, LeaseGrantResponse>,
  LeaseRevoke: {"path":"/etcdserverpb.Lease/LeaseRevoke","request":"LeaseRevokeRequest","response":"LeaseRevokeResponse"} as Method<LeaseRevokeRequest, LeaseRevokeResponse>,
  LeaseKeepAlive: {"path":"/etcdserverpb.Lease/LeaseKeepAlive","request":"LeaseKeepAliveRequest","response":"LeaseKeepAliveResponse"} as Method<LeaseKeepAliveRequest, LeaseKeepAliveResponse>,
};

export const Maintenance = {
  Status: {"path":"/etcdserverpb.Maintenance/Status","request":"StatusRequest","response":"StatusResponse"} as Method<StatusRequest, StatusResponse>,
};

export interface ResponseHeader {
  clusterId: Long;
  memberId: Long;
  revision: Long;
  raftTerm: Long;
}

export interface KeyValue {
  key: Uint8Array;
  createRevision: Long;
  modRevision: Long;
  version: Long;
  value: Uint8Array;
  lease: Long;
}

export interface RangeRequest {
  key: Uint8Array;
  rangeEnd: Uint8Array;
  limit: Long;
  revision: Long;
  serializable: boolean;
  keysOnly: boolean;
  countOnly: boolean;
}

export interface RangeResponse {
  header: ResponseHeader | null;
  kvs: KeyValue[];
  more: boolean;
  count: Long;
}

export interface PutRequest {
  key: Uint8Array;
  value: Uint8Array;
  lease: Long;
  prevKv: boolean;
}

export interface PutResponse {
  header: ResponseHeader | null;
  prevKv: KeyValue | null;
}

export interface DeleteRangeRequest {
  key: Uint8Array;
  rangeEnd: Uint8Array;
  prevKv: boolean;
}

export interface DeleteRangeResponse {
  header: ResponseHeader | null;
  deleted: Long;
  prevKvs: KeyValue[];
}

export interface RequestOp {
  requestRange: RangeRequest | null;
  requestPut: PutRequest | null;
  requestDeleteRange: DeleteRangeRequest | null;
}

export interface ResponseOp {
  responseRange: RangeResponse | null;
  responsePut: PutResponse | null;
  responseDeleteRange: DeleteRangeResponse | null;
}

export const CompareResult = {"EQUAL":0,"GREATER":1,"LESS":2,"NOT_EQUAL":3} as const;
export const CompareTarget = {"VERSION":0,"CREATE":1,"MOD":2,"VALUE":3,"LEASE":4} as const;
export interface Compare {
  result: number;
  target: number;
  key: Uint8Array;
  version: Long | null;
  createRevision: Long | null;
  modRevision: Long | null;
  value: Uint8Array | null;
  lease: Long | null;
}

export interface TxnRequest {
  compare: Compare[];
  success: RequestOp[];
  failure: RequestOp[];
}

export interface TxnResponse {
  header: ResponseHeader | null;
  succeeded: boolean;
  responses: ResponseOp[];
}

export interface CompactionRequest {
  revision: Long;
}

export interface CompactionResponse {
  header: ResponseHeader | null;
}

export interface WatchRequest {
  createRequest: WatchCreateRequest | null;
  cancelRequest: WatchCancelRequest | null;
  progressRequest: WatchProgressRequest | null;
}

export interface WatchCreateRequest {
  key: Uint8Array;
  rangeEnd: Uint8Array;
  startRevision: Long;
  progressNotify: boolean;
  prevKv: boolean;
  fragment: boolean;
}

export interface WatchCancelRequest {
  watchId: Long;
}

export interface WatchProgressRequest {
}

export interface WatchResponse {
  header: ResponseHeader | null;
  watchId: Long;
  created: boolean;
  canceled: boolean;
  compactRevision: Long;
  cancelReason: string;
  fragment: boolean;
  events: Event[];
}

export const EventType = {"PUT":0,"DELETE":1} as const;
export interface Event {
  type: number;
  kv: KeyValue | null;
  prevKv: KeyValue | null;
}

export interface LeaseGrantRequest {
  TTL: Long;
  ID: Long;
}

export interface LeaseGrantResponse {
  header: ResponseHeader | null;
  ID: Long;
  TTL: Long;
  error: string;
}

export interface LeaseRevokeRequest {
  ID: Long;
}

export interface LeaseRevokeResponse {
  header: ResponseHeader | null;
}

export interface LeaseKeepAliveRequest {
  ID: Long;
}

export interface LeaseKeepAliveResponse {
  header: ResponseHeader | null;
  ID: Long;
  TTL: Long;
}

export interface StatusRequest {
}

export interface StatusResponse {
  header: ResponseHeader | null;
  version: string;
  dbSize: Long;
  leader: Long;
  raftIndex: Long;
  raftTerm: Long;
  errors: string[];
  dbSizeInUse: Long;
  isLearner: boolean;
}

export const schema = {"nested":{"etcdserverpb":{"nested":{"KV":{"methods":{"Range":{"requestType":"RangeRequest","responseType":"RangeResponse"},"Txn":{"requestType":"TxnRequest","responseType":"TxnResponse"},"Compact":{"requestType":"CompactionRequest","responseType":"CompactionResponse"}}},"Watch":{"methods":{"Watch":{"requestType":"WatchRequest","requestStream":true,"responseType":"WatchResponse","responseStream":true}}},"Lease":{"methods":{"LeaseGrant":{"requestType":"LeaseGrantRequest","responseType":"LeaseGrantResponse"},"LeaseRevoke":{"requestType":"LeaseRevokeRequest","responseType":"LeaseRevokeResponse"},"LeaseKeepAlive":{"requestType":"LeaseKeepAliveRequest","requestStream":true,"responseType":"LeaseKeepAliveResponse","responseStream":true}}},"Maintenance":{"methods":{"Status":{"requestType":"StatusRequest","responseType":"StatusResponse"}}},"ResponseHeader":{"fields":{"clusterId":{"type":"uint64","id":1,"protoName":"cluster_id"},"memberId":{"type":"uint64","id":2,"protoName":"member_id"},"revision":{"type":"int64","id":3},"raftTerm":{"type":"uint64","id":4,"protoName":"raft_term"}}},"KeyValue":{"fields":{"key":{"type":"bytes","id":1},"createRevision":{"type":"int64","id":2,"protoName":"create_revision"},"modRevision":{"type":"int64","id":3,"protoName":"mod_revision"},"version":{"type":"int64","id":4},"value":{"type":"bytes","id":5},"lease":{"type":"int64","id":6}}},"RangeRequest":{"fields":{"key":{"type":"bytes","id":1},"rangeEnd":{"type":"bytes","id":2,"protoName":"range_end"},"limit":{"type":"int64","id":3},"revision":{"type":"int64","id":4},"serializable":{"type":"bool","id":7},"keysOnly":{"type":"bool","id":8,"protoName":"keys_only"},"countOnly":{"type":"bool","id":9,"protoName":"count_only"}}},"RangeResponse":{"fields":{"header":{"type":"ResponseHeader","id":1},"kvs":{"rule":"repeated","type":"KeyValue","id":2},"more":{"type":"bool","id":3},"count":{"type":"int64","id":4}}},"PutRequest":{"fields":{"key":{"type":"bytes","id":1},"value":{"type":"bytes","id":2},"lease":{"type":"int64","id":3},"prevKv":{"type":"bool","id":4,"protoName":"prev_kv"}}},"PutResponse":{"fields":{"header":{"type":"ResponseHeader","id":1},"prevKv":{"type":"KeyValue","id":2,"protoName":"prev_kv"}}},"DeleteRangeRequest":{"fields":{"key":{"type":"bytes","id":1},"rangeEnd":{"type":"bytes","id":2,"protoName":"range_end"},"prevKv":{"type":"bool","id":3,"protoName":"prev_kv"}}},"DeleteRangeResponse":{"fields":{"header":{"type":"ResponseHeader","id":1},"deleted":{"type":"int64","id":2},"prevKvs":{"rule":"repeated","type":"KeyValue","id":3,"protoName":"prev_kvs"}}},"RequestOp":{"oneofs":{"request":{"oneof":["requestRange","requestPut","requestDeleteRange"]}},"fields":{"requestRange":{"type":"RangeRequest","id":1,"protoName":"request_range"},"requestPut":{"type":"PutRequest","id":2,"protoName":"request_put"},"requestDeleteRange":{"type":"DeleteRangeRequest","id":3,"protoName":"request_delete_range"}}},"ResponseOp":{"oneofs":{"response":{"oneof":["responseRange","responsePut","responseDeleteRange"]}},"fields":{"responseRange":{"type":"RangeResponse","id":1,"protoName":"response_range"},"responsePut":{"type":"PutResponse","id":2,"protoName":"response_put"},"responseDeleteRange":{"type":"DeleteRangeResponse","id":3,"protoName":"response_delete_range"}}},"Compare":{"oneofs":{"targetUnion":{"oneof":["version","createRevision","modRevision","value","lease"]}},"fields":{"result":{"type":"CompareResult","id":1},"target":{"type":"CompareTarget","id":2},"key":{"type":"bytes","id":3},"version":{"type":"int64","id":4},"createRevision":{"type":"int64","id":5,"protoName":"create_revision"},"modRevision":{"type":"int64","id":6,"protoName":"mod_revision"},"value":{"type":"bytes","id":7},"lease":{"type":"int64","id":8}},"nested":{"CompareResult":{"values":{"EQUAL":0,"GREATER":1,"LESS":2,"NOT_EQUAL":3}},"CompareTarget":{"values":{"VERSION":0,"CREATE":1,"MOD":2,"VALUE":3,"LEASE":4}}}},"TxnRequest":{"fields":{"compare":{"rule":"repeated","type":"Compare","id":1},"success":{"rule":"repeated","type":"RequestOp","id":2},"failure":{"rule":"repeated","type":"RequestOp","id":3}}},"TxnResponse":{"fields":{"header":{"type":"ResponseHeader","id":1},"succeeded":{"type":"bool","id":2},"responses":{"rule":"repeated","type":"ResponseOp","id":3}}},"CompactionRequest":{"fields":{"revision":{"type":"int64","id":1}}},"CompactionResponse":{"fields":{"header":{"type":"ResponseHeader","id":1}}},"WatchRequest":{"oneofs":{"requestUnion":{"oneof":["createRequest","cancelRequest","progressRequest"]}},"fields":{"createRequest":{"type":"WatchCreateRequest","id":1,"protoName":"create_request"},"cancelRequest":{"type":"WatchCancelRequest","id":2,"protoName":"cancel_request"},"progressRequest":{"type":"WatchProgressRequest","id":3,"protoName":"progress_request"}}},"WatchCreateRequest":{"fields":{"key":{"type":"bytes","id":1},"rangeEnd":{"type":"bytes","id":2,"protoName":"range_end"},"startRevision":{"type":"int64","id":3,"protoName":"start_revision"},"progressNotify":{"type":"bool","id":4,"protoName":"progress_notify"},"prevKv":{"type":"bool","id":6,"protoName":"prev_kv"},"fragment":{"type":"bool","id":8}}},"WatchCancelRequest":{"fields":{"watchId":{"type":"int64","id":1,"protoName":"watch_id"}}},"WatchProgressRequest":{"fields":{}},"WatchResponse":{"fields":{"header":{"type":"ResponseHeader","id":1},"watchId":{"type":"int64","id":2,"protoName":"watch_id"},"created":{"type":"bool","id":3},"canceled":{"type":"bool","id":4},"compactRevision":{"type":"int64","id":5,"protoName":"compact_revision"},"cancelReason":{"type":"string","id":6,"protoName":"cancel_reason"},"fragment":{"type":"bool","id":7},"events":{"rule":"repeated","type":"Event","id":11}}},"Event":{"fields":{"type":{"type":"EventType","id":1},"kv":{"type":"KeyValue","id":2},"prevKv":{"type":"KeyValue","id":3,"protoName":"prev_kv"}},"nested":{"EventType":{"values":{"PUT":0,"DELETE":1}}}},"LeaseGrantRequest":{"fields":{"TTL":{"type":"int64","id":1},"ID":{"type":"int64","id":2}}},"LeaseGrantResponse":{"fields":{"header":{"type":"ResponseHeader","id":1},"ID":{"type":"int64","id":2},"TTL":{"type":"int64","id":3},"error":{"type":"string","id":4}}},"LeaseRevokeRequest":{"fields":{"ID":{"type":"int64","id":1}}},"LeaseRevokeResponse":{"fields":{"header":{"type":"ResponseHeader","id":1}}},"LeaseKeepAliveRequest":{"fields":{"ID":{"type":"int64","id":1}}},"LeaseKeepAliveResponse":{"fields":{"header":{"type":"ResponseHeader","id":1},"ID":{"type":"int64","id":2},"TTL":{"type":"int64","id":3}}},"StatusRequest":{"fields":{}},"StatusResponse":{"fields":{"header":{"type":"ResponseHeader","id":1},"version":{"type":"string","id":2},"dbSize":{"type":"int64","id":3},"leader":{"type":"uint64","id":4},"raftIndex":{"type":"uint64","id":5},"raftTerm":{"type":"uint64","id":6},"errors":{"rule":"repeated","type":"string","id":8},"dbSizeInUse":{"type":"int64","id":9},"isLearner":{"type":"bool","id":10}}}}}}} as const;
