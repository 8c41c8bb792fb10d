/** The public face of control/api: the API server and its HTTPS front end. */
export { AuditFile } from './audit/audit-file.ts';
export { API_SERVER, GROUP_MASTERS } from './auth/users.ts';
export type { ApiRequest, ApiResponse } from './exchange.ts';
export { TlsFrontEnd, type TlsFiles } from './frontend/tls-server.ts';
export type { UserInfo } from './resource.ts';
export { ApiServer, type ApiServerConfig, type ApiServerKeys } from './server.ts';
