/** Rules of Events, of v1 and of events.k8s.io/v1. Source: kubernetes v1.36.3 pkg/apis/core/validation. */
import type { Event } from '#base/kube/api/core-v1.gen.ts';
import type { TableRow } from '../resource.ts';
import type { FieldErrors } from './field-errors.ts';
import { checkDnsSubdomain, checkQualifiedName } from './formats.ts';
import { subdomainName, validateMeta, validateMetaUpdate } from './meta.ts';
import { sameValue } from './same-value.ts';
import { collect, collectUpdate } from './strategies.ts';
import { age, columns } from './tables.ts';
import type { ResourceRules } from '../resource.ts';

const INSTANCE_MAX = 128;
const ACTION_MAX = 128;
const REASON_MAX = 128;
const NOTE_MAX = 1024;
const COLUMNS = 'Last Seen,Type,Reason,Object,Subobject,Source,Message,First Seen,Count,Name';
const WIDE: ReadonlySet<string> = new Set(['Subobject', 'Source', 'First Seen', 'Count', 'Name']);
const EVENT_COLUMNS = columns(COLUMNS).map((column) =>
  WIDE.has(column.name) ? { ...column, priority: 1 } : column,
);

function validateEvent(e: FieldErrors, event: Event, reporter: string): void {
  const { metadata, involvedObject, eventTime } = event;
  const namespace = metadata.namespace ?? '';
  const involved = involvedObject.namespace ?? '';
  const mismatch = (): void => {
    e.invalid('involvedObject.namespace', involved, 'does not match event.namespace');
  };
  if (eventTime === undefined) {
    const isFine = involved === '' ? ['', 'default'].includes(namespace) : namespace === involved;
    if (!isFine) mismatch();
  } else {
    if (involved === '' && namespace !== 'default' && namespace !== 'kube-system') mismatch();
    validateReport(e, event, reporter);
  }
  e.invalidEach('namespace', namespace, checkDnsSubdomain(namespace));
}

function validateReport(e: FieldErrors, event: Event, reporter: string): void {
  const { reportingComponent = '', reportingInstance = '', action = '', reason = '' } = event;
  const limit = (field: string, text: string, max: number): void => {
    if (text.length > max) e.invalid(field, '', `can have at most ${max} characters`);
  };
  if (reportingComponent === '') e.required(reporter);
  e.invalidEach(reporter, reportingComponent, checkQualifiedName(reportingComponent));
  if (reportingInstance === '') e.required('reportingInstance');
  limit('reportingInstance', reportingInstance, INSTANCE_MAX);
  if (action === '') e.required('action');
  limit('action', action, ACTION_MAX);
  if (reason === '') e.required('reason');
  limit('reason', reason, REASON_MAX);
  limit('message', event.message ?? '', NOTE_MAX);
}

function validateNew(e: FieldErrors, event: Event): void {
  validateEvent(e, event, 'reportingController');
  validateMeta(e, event.metadata, { namespaced: true, name: subdomainName });
  validateSeries(e, event);
  if (event.eventTime === undefined) e.required('eventTime');
  if (event.type !== 'Normal' && event.type !== 'Warning') {
    e.invalid('type', '', `has invalid value: ${event.type ?? ''}`);
  }
  for (const field of ['firstTimestamp', 'lastTimestamp'] as const) {
    if (event[field] !== undefined) e.invalid(field, '', 'needs to be unset');
  }
  if ((event.count ?? 0) !== 0) e.invalid('count', '', 'needs to be unset');
  if ((event.source?.component ?? '') !== '' || (event.source?.host ?? '') !== '') {
    e.invalid('source', '', 'needs to be unset');
  }
}

function validateSeries(e: FieldErrors, { series }: Event): void {
  if (series === undefined) return;
  if ((series.count ?? 0) < 2) e.invalid('series.count', '', 'should be at least 2');
  if (series.lastObservedTime === undefined) e.required('series.lastObservedTime');
}

const IMMUTABLE_FIELDS = [
  'involvedObject',
  'reason',
  'message',
  'source',
  'firstTimestamp',
  'lastTimestamp',
  'count',
  'reason', // Upstream checks it twice.
  'type',
  'eventTime',
  'action',
  'related',
] as const satisfies readonly (keyof Event)[];

function validateNewUpdate(e: FieldErrors, event: Event, old: Event): void {
  validateEvent(e, event, 'reportingController');
  validateMetaUpdate(e, event.metadata, old.metadata, {});
  if (!sameValue(event.series, old.series)) validateSeries(e, event);
  for (const field of IMMUTABLE_FIELDS) {
    if (!sameValue(event[field] ?? null, old[field] ?? null)) {
      e.invalid(field, event[field] ?? null, 'field is immutable');
    }
  }
}

function eventRow(event: Event, nowMs: number): TableRow {
  const first = age(event.firstTimestamp ?? event.eventTime, nowMs);
  const last = event.lastTimestamp === undefined ? first : age(event.lastTimestamp, nowMs);
  const { involvedObject: target, source, series } = event;
  const component = source?.component || event.reportingComponent || '';
  const host = source?.host || event.reportingInstance || '';
  const kind = (target.kind ?? '').toLowerCase();
  const name = target.name ?? '';
  return {
    cells: [
      series === undefined ? last : age(series.lastObservedTime, nowMs),
      event.type ?? '',
      event.reason ?? '',
      name === '' ? kind : `${kind}/${name}`,
      target.fieldPath ?? '',
      host === '' ? component : `${component}, ${host}`,
      (event.message ?? '').trim(),
      first,
      series === undefined ? event.count || 1 : (series.count ?? 0),
      event.metadata.name,
    ],
  };
}

export const eventRules: ResourceRules<Event> = {
  group: '',
  version: 'v1',
  resource: 'events',
  allowCreateOnUpdate: true,
  default(event) {
    event.involvedObject ??= {};
    event.source ??= {};
  },
  validate: (event) => collect((e) => validateEvent(e, event, 'reportingComponent')),
  validateUpdate: (event, old) =>
    collectUpdate(event, old, { namespaced: true }, (e) =>
      validateEvent(e, event, 'reportingComponent'),
    ),
  table: { columns: EVENT_COLUMNS, row: eventRow },
};

/** Stricter rules for what comes under the new name; objects have the old, stored form. */
export const newEventRules: ResourceRules<Event> = {
  ...eventRules,
  group: 'events.k8s.io',
  validate: (event) => collect((e) => validateNew(e, event)),
  validateUpdate: (event, old) =>
    collectUpdate(event, old, { namespaced: true }, (e) => validateNewUpdate(e, event, old)),
};
