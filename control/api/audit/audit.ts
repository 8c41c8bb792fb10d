/**
 * The audit trail of a request: who did what, by which right, and what was answered; without bodies
 * (upstream's level Metadata). Events have the form of audit.k8s.io/v1, so that its tools read them.
 * Streams give two events, when they begin and when they end. Source: apiserver audit/request.go.
 */
import type { Status } from '#base/kube/api/meta-v1.gen.ts';
import type { Decision } from '../auth/authorizer.ts';
import { type ApiResponse, isStream } from '../exchange.ts';
import type { Call } from '../handlers/call.ts';
import type { UserInfo } from '../resource.ts';
import { auditLevel } from './policy.ts';

/** Where events go. */
export interface AuditLog {
  /** Never throws and never waits. */
  write(event: AuditEvent): void;
}

type Stage = 'ResponseStarted' | 'ResponseComplete';

export interface AuditEvent {
  readonly kind: 'Event';
  readonly apiVersion: 'audit.k8s.io/v1';
  readonly level: 'Metadata';
  readonly auditID: string;
  readonly stage: Stage;
  readonly requestURI: string;
  readonly verb: string;
  readonly user: object;
  readonly impersonatedUser?: object;
  readonly sourceIPs?: readonly string[];
  readonly userAgent?: string;
  readonly objectRef?: object;
  readonly responseStatus: object;
  readonly requestReceivedTimestamp: string;
  readonly stageTimestamp: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** What the stages of the pipeline found out; each adds its part. */
export interface Trail {
  call: Call;
  readonly auditId: string;
  /** Before impersonation. */
  authenticated?: UserInfo;
  decision?: Decision;
  failure?: Status;
}

/** Writes what the policy wants of an answered request; the answer to send, which may be watched. */
export function audit(log: AuditLog, trail: Trail, response: ApiResponse): ApiResponse {
  const { call, authenticated, failure } = trail;
  const { status, body } = response;
  const user = authenticated ?? call.user;
  if (auditLevel(user, call.info, status) === 'None') return response;
  const write = (stage: Stage) => log.write(eventOf(trail, { stage, status }));
  if (!isStream(body)) {
    write(
      failure === undefined && call.request.upgrade?.taken ? 'ResponseStarted' : 'ResponseComplete',
    );
    return response;
  }
  write('ResponseStarted');
  return {
    ...response,
    body: {
      start(sink) {
        sink.onClose(() => write('ResponseComplete'));
        body.start(sink);
      },
    },
  };
}

function eventOf(trail: Trail, answer: { stage: Stage; status: number }): AuditEvent {
  const { call, auditId, authenticated, decision, failure } = trail;
  const { request, info, services } = call;
  const user = authenticated ?? call.user;
  const userAgent = call.header('user-agent');
  const { metadata: _, ...told } = failure ?? {};
  return {
    kind: 'Event',
    apiVersion: 'audit.k8s.io/v1',
    level: 'Metadata',
    auditID: auditId,
    stage: answer.stage,
    requestURI: request.path,
    verb: info.verb,
    user: userOf(user),
    ...(call.user === user ? {} : { impersonatedUser: userOf(call.user) }),
    ...(request.remoteAddress === '' ? {} : { sourceIPs: [request.remoteAddress] }),
    ...(userAgent === undefined ? {} : { userAgent }),
    ...(info.isResource ? { objectRef: objectOf(call) } : {}),
    responseStatus: { metadata: {}, ...told, code: answer.status },
    requestReceivedTimestamp: microTime(call.nowMs),
    stageTimestamp: microTime(services.clock.nowMs()),
    ...(decision === undefined
      ? {}
      : {
          annotations: { ...annotationsOf(decision), ...Object.fromEntries(call.auditAnnotations) },
        }),
  };
}

function userOf({ name, uid, groups, extra }: UserInfo): object {
  return {
    username: name,
    ...(uid === '' ? {} : { uid }),
    ...(groups.length === 0 ? {} : { groups }),
    ...(Object.keys(extra).length === 0 ? {} : { extra }),
  };
}

function objectOf({ info, writtenName }: Call): object {
  const { resource, namespace, group, version, subresource } = info;
  const name = info.name === '' ? (writtenName ?? '') : info.name;
  const parts = { resource, namespace, name, apiGroup: group, apiVersion: version, subresource };
  return Object.fromEntries(Object.entries(parts).filter(([, value]) => value !== ''));
}

function annotationsOf({ allowed, reason }: Decision): Record<string, string> {
  return {
    'authorization.k8s.io/decision': allowed ? 'allow' : 'forbid',
    'authorization.k8s.io/reason': reason,
  };
}

/** `2026-11-23T10:00:00.123000Z` */
function microTime(ms: number): string {
  return new Date(ms).toISOString().replace('Z', '000Z');
}
