/**
 * Public face of the store: the port that the API server speaks (port.ts), the inline store that
 * runs on the caller's thread, the one on a worker thread, and the one over an external etcd. All
 * behave the same.
 */
export {
  type Compare,
  type DeleteRangeRequest,
  type GrantedLease,
  type KeyRange,
  type KeyValue,
  type LeaseId,
  type MemberStatus,
  NO_LEASE,
  type Operation,
  type OperationResult,
  type OwnStore,
  type PutRequest,
  type RangeRequest,
  type RangeResponse,
  type Revision,
  type Store,
  type SnapshotInfo,
  type StoreAdmin,
  type StoreAlarm,
  StoreError,
  type StoreErrorCode,
  type StoreSnapshot,
  type StoreStatus,
  type TxnRequest,
  type TxnResponse,
  type Watch,
  type WatchBatch,
  type WatchEvent,
  type WatchRequest,
} from './port.ts';
export { BackupSchedule, type BackupSettings } from './backup-schedule.ts';
export { createJoinToken } from './join-token.ts';
export { type EtcdIo, type EtcdOptions, openEtcdStore } from './open-etcd.ts';
export { type MemberNetwork, memberNetwork, memberSettings } from './member-config.ts';
export { type StoreOptions, openStore } from './open.ts';
export { findLivingGroup } from './socket-asker.ts';
export {
  type RecoveredGroup,
  type Survivor,
  compareSurvivors,
  inspectMember,
  recoverMember,
} from './recover.ts';
export { syncDirectory } from './disk/real-disk.ts';
export { restoreStore } from './snapshot-file.ts';
export { type StoreWorkerOptions, startStoreWorker } from './start-worker.ts';
