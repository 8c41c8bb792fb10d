/**
 * The label and field selectors of one list, watch or deletecollection, matched on cached objects.
 */
import { type FieldRequirement, type LabelMatcher, matchesFields } from '#base/kube/selectors.ts';
import type { CachedObject } from './cached-object.ts';

export class Selection {
  readonly #labels: LabelMatcher;
  readonly #fields: readonly FieldRequirement[];
  readonly #usesOnlyName: boolean;

  constructor(labels: LabelMatcher, fields: readonly FieldRequirement[]) {
    this.#labels = labels;
    this.#fields = fields;
    this.#usesOnlyName = fields.every(
      ({ field }) => field === 'metadata.name' || field === 'metadata.namespace',
    );
  }

  get isEmpty(): boolean {
    return this.#labels.isEmpty && this.#fields.length === 0;
  }

  /** The only name that can match, if the fields demand one. */
  get name(): string | undefined {
    return this.#fields.find((f) => f.field === 'metadata.name' && f.equals)?.value;
  }

  matches(object: CachedObject): boolean {
    if (this.#fields.length > 0 && !this.#matchesFields(object)) return false;
    return this.#labels.isEmpty || this.#labels.matches(object.selectable.labels);
  }

  #matchesFields(object: CachedObject): boolean {
    if (this.#usesOnlyName) {
      return matchesFields(this.#fields, (field) =>
        field === 'metadata.name' ? object.name : object.namespace,
      );
    }
    const { fields } = object.selectable;
    return matchesFields(this.#fields, (field) => fields[field] ?? '');
  }
}
