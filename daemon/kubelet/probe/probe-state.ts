/**
 * What a row of probe results means: a verdict changes only after failureThreshold failures or
 * successThreshold successes in a row. Liveness starts as success, readiness as failure (of a container that
 * was ready before the agent started: as success), startup as neither. Pure.
 */
import type { Probe } from '#base/kube/api/core-v1.gen.ts';

export type ProbeKind = 'startup' | 'liveness' | 'readiness';
export type ProbeResult = 'success' | 'failure' | 'unknown';

export interface ProbeState {
  readonly verdict: ProbeResult;
  readonly last: ProbeResult | undefined;
  /** Equal results in a row. */
  readonly runLength: number;
}

const FIRST_VERDICT: Readonly<Record<ProbeKind, ProbeResult>> = {
  startup: 'unknown',
  liveness: 'success',
  readiness: 'failure',
};

/** `wasReady`: the API says so of this very container, whose probes an earlier agent made. */
export function initialProbeState(kind: ProbeKind, wasReady: boolean): ProbeState {
  const verdict = kind === 'readiness' && wasReady ? 'success' : FIRST_VERDICT[kind];
  return { verdict, last: undefined, runLength: 0 };
}

/** An unknown result (the probe itself could not be made) changes nothing. */
export function onProbeResult(state: ProbeState, result: ProbeResult, probe: Probe): ProbeState {
  if (result === 'unknown') return state;
  const runLength = state.last === result ? state.runLength + 1 : 1;
  const threshold =
    result === 'failure' ? (probe.failureThreshold ?? 3) : (probe.successThreshold ?? 1);
  const verdict = runLength >= threshold ? result : state.verdict;
  return { verdict, last: result, runLength };
}
