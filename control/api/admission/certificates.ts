/**
 * Guards of CertificateSigningRequests: only who may `approve` for a signer decides, only who may
 * `sign` for it writes certificates, and nobody gets a client certificate of system:masters by one.
 * Sources: kubernetes plugin/pkg/admission/certificates/{approval,signing,subjectrestriction}.
 */
import { isDeepStrictEqual } from 'node:util';
import type { CertificateSigningRequest } from '#base/kube/api/certificates-v1.gen.ts';
import { errorText } from '#base/errors.ts';
import type { Authorizer } from '../auth/authorizer.ts';
import { GROUP_MASTERS } from '../auth/users.ts';
import { type ApiError, forbidden } from '../errors.ts';
import type { AdmissionPlugin, AdmissionRequest } from '../registry/admission.ts';

const GROUP = 'certificates.k8s.io';
const SIGNER_CLIENT = 'kubernetes.io/kube-apiserver-client';

function isOfRequests({ resource }: AdmissionRequest): boolean {
  const { facts } = resource;
  return facts.group === GROUP && facts.resource === 'certificatesigningrequests';
}

function refuse(request: AdmissionRequest, because: string): ApiError {
  return forbidden(request.resource.groupResource, request.name, because);
}

/** The right holds for one signer, or for all of a domain (`example.com/*`). */
function mayFor(
  authorizer: Authorizer,
  request: AdmissionRequest,
  verb: 'approve' | 'sign',
  signerName: string,
): boolean {
  const [domain = ''] = signerName.split('/');
  return [signerName, `${domain}/*`].some((name) => {
    const at = { group: GROUP, version: '*', resource: 'signers', subresource: '', namespace: '' };
    const { allowed } = authorizer.decide(request.context.user, {
      kind: 'resource',
      verb,
      name,
      ...at,
    });
    return allowed;
  });
}

export class CertificateApproval implements AdmissionPlugin {
  readonly name = 'CertificateApproval';
  readonly #authorizer: Authorizer;

  constructor(parts: { authorizer: Authorizer }) {
    this.#authorizer = parts.authorizer;
  }

  validate(request: AdmissionRequest): void {
    const { operation, subresource } = request;
    if (operation !== 'UPDATE' || subresource !== 'approval' || !isOfRequests(request)) return;
    const { spec } = request.old as CertificateSigningRequest; // By the resource.
    if (mayFor(this.#authorizer, request, 'approve', spec.signerName)) return;
    const signer = JSON.stringify(spec.signerName);
    throw refuse(request, `user not permitted to approve requests with signerName ${signer}`);
  }
}

export class CertificateSigning implements AdmissionPlugin {
  readonly name = 'CertificateSigning';
  readonly #authorizer: Authorizer;

  constructor(parts: { authorizer: Authorizer }) {
    this.#authorizer = parts.authorizer;
  }

  validate(request: AdmissionRequest): void {
    const { operation, subresource } = request;
    if (operation !== 'UPDATE' || subresource !== 'status' || !isOfRequests(request)) return;
    const { spec, status: before } = request.old as CertificateSigningRequest; // By the resource.
    const { status } = request.object as CertificateSigningRequest; // Likewise.
    const isSame =
      (before?.certificate ?? '') === (status?.certificate ?? '') &&
      isDeepStrictEqual(before?.conditions ?? [], status?.conditions ?? []);
    if (isSame || mayFor(this.#authorizer, request, 'sign', spec.signerName)) return;
    const signer = JSON.stringify(spec.signerName);
    throw refuse(request, `user not permitted to sign requests with signerName ${signer}`);
  }
}

export class CertificateSubjectRestriction implements AdmissionPlugin {
  readonly name = 'CertificateSubjectRestriction';

  async validate(request: AdmissionRequest): Promise<void> {
    const { operation, subresource } = request;
    if (operation !== 'CREATE' || subresource !== '' || !isOfRequests(request)) return;
    const { spec } = request.object as CertificateSigningRequest; // By the resource.
    if (spec.signerName !== SIGNER_CLIENT) return;
    // Loaded when needed: the library is large, and such requests are rare.
    const { parseSigningRequest } = await import('#base/pki/signing-request.ts');
    let organizations: readonly string[];
    try {
      const pem = Buffer.from(spec.request, 'base64').toString();
      ({ organizations } = parseSigningRequest(pem));
    } catch (error) {
      throw refuse(request, `failed to parse CSR: ${errorText(error)}`); // Its text is an answer.
    }
    if (!organizations.includes(GROUP_MASTERS)) return;
    const because = `use of ${SIGNER_CLIENT} signer with ${GROUP_MASTERS} group is not allowed`;
    throw refuse(request, because);
  }
}
