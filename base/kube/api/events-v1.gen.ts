// Generated from k8s.io/api v0.36.3 h1:NxB+05W2UGqXWFXcLO0RB5cnqnUPP5v5sVlaOH0Iz4w=, k8s.io/apimachinery v0.36.3 h1:PkzMRBRG8joFD8EhCuQAtNPvJlxb82FwplP26HIzvAM=, k8s.io/apiextensions-apiserver v0.36.3 h1:dPmOAPhwTtqb1bTxbFPsy18KHPhktQeO3WUPXunZIB0=, k8s.io/kube-aggregator v0.36.3 h1:eypRCZKyGx3u9TLdnLva47l6R/67Zs9h9FQI+uMruaY= types.go by control/schema/generate. Do not edit.
import type { EventSource, ObjectReference } from './core-v1.gen.ts';
import type { ListMeta, MicroTime, ObjectMeta, Time } from './meta-v1.gen.ts';

export interface Event {
  action?: string | undefined;
  apiVersion: 'events.k8s.io/v1';
  deprecatedCount?: number | undefined;
  deprecatedFirstTimestamp?: Time | undefined;
  deprecatedLastTimestamp?: Time | undefined;
  deprecatedSource?: EventSource | undefined;
  eventTime: MicroTime;
  kind: 'Event';
  metadata: ObjectMeta;
  note?: string | undefined;
  reason?: string | undefined;
  regarding?: ObjectReference | undefined;
  related?: ObjectReference | undefined;
  reportingController?: string | undefined;
  reportingInstance?: string | undefined;
  series?: EventSeries | undefined;
  type?: string | undefined;
}

export interface EventList {
  apiVersion: 'events.k8s.io/v1';
  items: Event[];
  kind: 'EventList';
  metadata: ListMeta;
}

export interface EventSeries {
  count: number;
  lastObservedTime: MicroTime;
}
