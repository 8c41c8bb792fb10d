import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type Log, silentLog } from '#base/log.ts';
import type { AuditEvent } from './audit.ts';
import { AuditFile } from './audit-file.ts';

const event = (auditID: string): AuditEvent => ({
  kind: 'Event',
  apiVersion: 'audit.k8s.io/v1',
  level: 'Metadata',
  auditID,
  stage: 'ResponseComplete',
  requestURI: '/',
  verb: 'get',
  user: { username: 'a' },
  responseStatus: { code: 200 },
  requestReceivedTimestamp: '2026-01-01T00:00:00.000000Z',
  stageTimestamp: '2026-01-01T00:00:00.000000Z',
});
const LINE_BYTES = JSON.stringify(event('000')).length + 1;

const idsIn = (path: string): string[] =>
  readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => (JSON.parse(line) as AuditEvent).auditID);

t.test('AuditFile appends to what is there, and drops the oldest file', async (t) => {
  const path = join(t.testdir(), 'deeper/audit.log');
  const options = { path, bytesMax: 2 * LINE_BYTES, filesMax: 3 };
  for (let id = 100; id < 109; id++) {
    const file = new AuditFile(options, silentLog); // As after a restart, which finds the file.
    file.write(event(String(id)));
    await file.close();
  }
  t.same(readdirSync(join(path, '..')).toSorted(), ['audit.log', 'audit.log.1', 'audit.log.2']);
  t.same(idsIn(path), ['108']);
  t.same(idsIn(`${path}.1`), ['106', '107']);
  t.same(idsIn(`${path}.2`), ['104', '105']);
});

t.test('AuditFile tells what it had to drop, and goes on', async (t) => {
  const told: unknown[] = [];
  const log: Log = { ...silentLog, error: (message, fields) => told.push({ message, ...fields }) };
  const path = join(t.testdir(), 'audit.log');
  mkdirSync(path); // No file can be opened here.
  const file = new AuditFile({ path, bytesMax: 1_000_000, filesMax: 2 }, log);
  file.write(event('lost'));
  await file.close();
  t.match(told, [{ message: 'audit events dropped', path, count: 1, error: { code: 'EISDIR' } }]);
  rmSync(path, { recursive: true });
  file.write(event('kept'));
  await file.close();
  t.same(idsIn(path), ['kept']);
});

t.test('AuditFile bounds what waits for the disk', async (t) => {
  const told: unknown[] = [];
  const log: Log = { ...silentLog, error: (message, fields) => told.push({ message, ...fields }) };
  const path = join(t.testdir(), 'audit.log');
  const file = new AuditFile({ path, bytesMax: 100_000_000, filesMax: 2 }, log);
  for (let i = 0; i < 20; i++) file.write(event('x'.repeat(1024 * 1024)));
  await file.close();
  file.write(event('after'));
  await file.close();
  const kept = idsIn(path).length - 1;
  t.ok(kept >= 3 && kept <= 4, `${kept} kept`);
  t.match(told, [{ message: 'audit events dropped: the disk is too slow', dropped: 20 - kept }]);
});
