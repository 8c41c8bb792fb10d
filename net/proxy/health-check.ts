/** What a health check node port answers for one Service. Planned by state.ts, served by health.ts. */
export interface HealthCheck {
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
  /** Ready endpoints on this node. */
  readonly localEndpointCount: number;
}
