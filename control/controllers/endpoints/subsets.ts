/**
 * The subsets of an Endpoints object: addresses that share the same ports stand together, sorted, at
 * most 1000 of them. Pure; form as upstream's endpoints repacking.
 */
import type {
  EndpointAddress,
  EndpointPort,
  EndpointSubset,
  Pod,
  Service,
} from '#base/kube/api/core-v1.gen.ts';
import { isDeleting } from '#base/kube/metadata.ts';
import { isPodReady, isPodTerminal } from '../shared/pods.ts';
import {
  addressTypes,
  endpointPorts,
  isHeadless,
  podAddress,
  podHostname,
  podReference,
  publishesNotReady,
} from './model.ts';

export const ADDRESSES_MAX = 1000;

export interface SubsetsPlan {
  readonly subsets: EndpointSubset[];
  /** More addresses than fit: the rest was left out. */
  readonly isTruncated: boolean;
}

interface Entry {
  readonly address: EndpointAddress;
  readonly isReady: boolean;
  readonly ports: EndpointPort[];
}

export function planSubsets(service: Service, pods: readonly Pod[]): SubsetsPlan {
  const entries: Entry[] = [];
  const type = addressTypes(service)[0] ?? 'IPv4';
  for (const pod of pods) {
    const ip = podAddress(pod, type);
    const publishes = publishesNotReady(service);
    if (ip === undefined || isPodTerminal(pod) || (isDeleting(pod) && !publishes)) continue;
    const ports = endpointPorts(service, pod).map(({ name = '', port = 0, ...rest }) => ({
      ...(name === '' ? {} : { name }),
      port,
      ...rest,
    }));
    // Headless services need no ports; those that have some need them in the pod.
    const isPortless = isHeadless(service) && (service.spec?.ports ?? []).length === 0;
    if (ports.length === 0 && !isPortless) continue;
    const hostname = podHostname(service, pod);
    const nodeName = pod.spec.nodeName ?? '';
    const address = {
      ip,
      ...(hostname === undefined ? {} : { hostname }),
      ...(nodeName === '' ? {} : { nodeName }),
      targetRef: podReference(pod),
    };
    entries.push({ address, isReady: publishes || isPodReady(pod), ports });
  }
  entries.sort((a, b) => compareText(a.address.ip, b.address.ip));
  // Ready ones first to be kept.
  const ordered = [...entries].sort((a, b) => Number(b.isReady) - Number(a.isReady));
  const kept = new Set(ordered.slice(0, ADDRESSES_MAX));
  return {
    subsets: pack(entries.filter((entry) => kept.has(entry))),
    isTruncated: entries.length > ADDRESSES_MAX,
  };
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Addresses with the same set of ports become one subset. */
function pack(entries: readonly Entry[]): EndpointSubset[] {
  const subsets = new Map<string, { ports: EndpointPort[]; entries: Entry[] }>();
  for (const entry of entries) {
    const ports = [...entry.ports].sort((a, b) =>
      compareText(JSON.stringify([a.name, a.port]), JSON.stringify([b.name, b.port])),
    );
    const key = JSON.stringify(ports);
    const subset = subsets.get(key);
    if (subset === undefined) subsets.set(key, { ports, entries: [entry] });
    else subset.entries.push(entry);
  }
  return [...subsets.entries()]
    .sort(([a], [b]) => compareText(a, b))
    .map(([, { ports, entries: list }]) => {
      const ready = list.filter((entry) => entry.isReady).map((entry) => entry.address);
      const notReady = list.filter((entry) => !entry.isReady).map((entry) => entry.address);
      return {
        ...(ready.length === 0 ? {} : { addresses: ready }),
        ...(notReady.length === 0 ? {} : { notReadyAddresses: notReady }),
        ...(ports.length === 0 ? {} : { ports }),
      };
    });
}
