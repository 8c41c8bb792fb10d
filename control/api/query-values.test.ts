/** Values of query parameters that cannot be read or make no sense: upstream's answers (v1.36.3). */
import t from 'tap';
import { makeTestCluster, startTestServer, testClient } from './testing/test-server.ts';

const cluster = await makeTestCluster();
const server = await startTestServer(cluster);
const { send } = testClient(cluster, server.port);
t.teardown(async () => {
  await server.stop();
  await cluster.close();
});

const MAPS = '/api/v1/namespaces/default/configmaps';
const LOG = '/api/v1/namespaces/default/pods/none/log';
const syntax = (text: string) =>
  `strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`;
const range = (text: string) => `strconv.ParseInt: parsing "${text}": value out of range`;
const HUGE = '9999999999999999999999';
const NOT_FOUND = 'configmaps "none" not found';

t.test('query values', async (t) => {
  const rows: [method: string, path: string, status: number, message: string | undefined][] = [
    ['DELETE', `${MAPS}/none?gracePeriodSeconds=abc`, 400, syntax('abc')],
    ['DELETE', `${MAPS}/none?gracePeriodSeconds=1.5`, 400, syntax('1.5')],
    ['DELETE', `${MAPS}/none?gracePeriodSeconds=1_0`, 400, syntax('1_0')],
    ['DELETE', `${MAPS}/none?gracePeriodSeconds=`, 400, syntax('')],
    ['DELETE', `${MAPS}/none?gracePeriodSeconds=${HUGE}`, 400, range(HUGE)],
    ['DELETE', `${MAPS}?gracePeriodSeconds=abc`, 400, syntax('abc')],
    ['DELETE', `${MAPS}/none?gracePeriodSeconds=%2B5`, 404, NOT_FOUND],
    ['DELETE', `${MAPS}/none?gracePeriodSeconds=-5`, 404, NOT_FOUND],
    ['DELETE', `${MAPS}/none?orphanDependents=maybe`, 404, NOT_FOUND],
    ['DELETE', `${MAPS}/none?orphanDependents=`, 404, NOT_FOUND],
    [
      'DELETE',
      `${MAPS}/none?propagationPolicy=Foo`,
      422,
      'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "Foo": supported values: "Foreground", "Background", "Orphan", "nil"',
    ],
    [
      'DELETE',
      `${MAPS}/none?dryRun=Some`,
      422,
      'DeleteOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Some"]: supported values: "All"',
    ],
    [
      'DELETE',
      `${MAPS}/none?orphanDependents=TRUE&propagationPolicy=Orphan`,
      422,
      'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Invalid value: "Orphan": orphanDependents and deletionPropagation cannot be both set',
    ],
    ['GET', `${MAPS}?limit=abc`, 400, syntax('abc')],
    ['GET', `${MAPS}?limit=`, 400, syntax('')],
    ['GET', `${MAPS}?limit=0x10`, 400, syntax('0x10')],
    ['GET', `${MAPS}?limit=${HUGE}`, 400, range(HUGE)],
    ['GET', `${MAPS}?limit=-1`, 200, undefined],
    ['GET', `${MAPS}?limit=5&limit=abc`, 200, undefined],
    ['GET', `${MAPS}?timeoutSeconds=x`, 400, syntax('x')],
    ['GET', `${MAPS}?timeoutSeconds=-1`, 200, undefined],
    ['GET', `${MAPS}?watch&timeoutSeconds=x`, 400, syntax('x')],
    ['GET', `${MAPS}?allowWatchBookmarks=zz`, 200, undefined],
    [
      'GET',
      `${MAPS}?sendInitialEvents=zz`,
      422,
      'ListOptions.meta.k8s.io "" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list',
    ],
    [
      'GET',
      `${MAPS}?resourceVersion=abc`,
      400,
      'invalid resource version: resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": invalid syntax',
    ],
    [
      'GET',
      `${MAPS}?watch=1&resourceVersion=abc`,
      500,
      'resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": invalid syntax',
    ],
    [
      'GET',
      `${MAPS}/none?resourceVersion=-1`,
      500,
      'resourceVersion: Invalid value: "-1": strconv.ParseUint: parsing "-1": invalid syntax',
    ],
    [
      'GET',
      `${MAPS}?labelSelector=a%20b`,
      400,
      "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt",
    ],
    ['GET', `${LOG}?tailLines=abc`, 400, syntax('abc')],
    ['GET', `${LOG}?tailLines=`, 400, syntax('')],
    [
      'GET',
      `${LOG}?sinceTime=abc`,
      400,
      'parsing time "abc" as "2006-01-02T15:04:05Z07:00": cannot parse "abc" as "2006"',
    ],
    [
      'GET',
      `${LOG}?tailLines=-1`,
      422,
      'PodLogOptions "none" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0',
    ],
    [
      'GET',
      `${LOG}?stream=Stdout`,
      422,
      'PodLogOptions "none" is invalid: stream: Forbidden: may not be specified',
    ],
    ['GET', `${LOG}?follow=zz`, 404, 'pods "none" not found'],
  ];
  for (const [method, path, status, message] of rows) {
    const answer = await send(method, path);
    t.equal(answer.status, status, `${method} ${path}`);
    t.equal(answer.body?.message, message, `${method} ${path}`);
  }
});
