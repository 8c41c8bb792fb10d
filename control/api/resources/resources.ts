/**
 * All kinds that have rules of their own, for the registry of the API server. A kind that is not here
 * is stored with the checks that its schema implies.
 */
import type { ResourceRules } from '../resource.ts';
import { podRules } from './pod.ts';

export const resourceRules: readonly ResourceRules[] = [podRules];
