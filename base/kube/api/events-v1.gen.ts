// Generated from k8s.io/kubernetes v1.36.3 api/openapi-spec/swagger.json by control/schema/generate. Do not edit.
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
