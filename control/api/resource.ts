/**
 * What a resource is to the API server: facts from control/schema (names, scope, verbs) joined with
 * rules, the hooks in which kinds differ. Rules are declared in ./resources, one per kind that has
 * some; a kind without rules is stored with schema-level checks only.
 *
 * Hooks are synchronous and pure: time and caller come in the context. Objects handed to a hook
 * belong to the request, so hooks that say "in place" change them; `old` objects are never changed.
 * Order on create: default → mutating admission → prepareForCreate → validate → canonicalize →
 * validating admission → store; on update the same with prepareForUpdate and validateUpdate.
 */
import type { KubeObject } from '#base/kube/client.ts';
import type { ResourceFacts } from '#control/schema/schema.ts';

/** One violated rule about one field, in the order of upstream's checks. */
export interface FieldError {
  /** `FieldValueRequired`, `FieldValueInvalid`, ... as in a Status cause. */
  readonly type: string;
  readonly field: string;
  readonly badValue?: unknown;
  readonly detail: string;
}

export interface UserInfo {
  readonly name: string;
  readonly uid: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

/** What hooks may know about the request. */
export interface HookContext {
  readonly nowMs: number;
  readonly user: UserInfo;
  readonly dryRun: boolean;
}

export type Propagation = 'Background' | 'Foreground' | 'Orphan';

/** DeleteOptions of the request, as far as hooks look at them. */
export interface DeleteRequest {
  /** Absent when the client left it to the object. */
  readonly gracePeriodSeconds?: number | undefined;
}

/** The part of the rules that the main resource and each of its subresources have of their own. */
export interface UpdateRules<T extends KubeObject = KubeObject> {
  /** In place: resets what this endpoint must not change (status, or spec on /status). */
  prepareForUpdate?(object: T, old: T, context: HookContext): void;
  validateUpdate?(object: T, old: T, context: HookContext): readonly FieldError[];
  warningsOnUpdate?(object: T, old: T, context: HookContext): readonly string[];
}

/** How one kind differs. Every member is optional; the comment names what holds without it. */
export interface ResourceRules<T extends KubeObject = KubeObject> extends UpdateRules<T> {
  readonly group: string;
  readonly version: string;
  /** Plural, as in the URL. */
  readonly resource: string;

  /**
   * In place: upstream's defaulting beyond the `+default` markers of the schema, which have been
   * applied before. Runs after decoding of every create, update and patch. Absent: none.
   */
  default?(object: T): void;
  /** In place: drops status, sets what the server owns. `metadata` is already filled in. */
  prepareForCreate?(object: T, context: HookContext): void;
  /**
   * Whole validation of a new object, metadata included (validateObjectMeta of ./resources).
   * Absent: metadata rules and a name that is a path segment.
   */
  validate?(object: T, context: HookContext): readonly FieldError[];
  /** In place, after validation. */
  canonicalize?(object: T): void;
  warningsOnCreate?(object: T, context: HookContext): readonly string[];

  /** A warning of every request for the kind: that it is deprecated, and what replaces it. */
  readonly deprecation?: string | undefined;

  /** PUT of a name that does not exist creates it. Absent: false. */
  readonly allowCreateOnUpdate?: boolean | undefined;
  /** An update may leave resourceVersion out. Absent: true. */
  readonly allowUnconditionalUpdate?: boolean | undefined;
  /** What a delete without propagationPolicy means. Absent: Background. */
  readonly defaultPropagation?: Propagation | undefined;
  /** Warnings of DELETE, such as that of Jobs about their pods. */
  warningsOnDelete?(object: T, context: HookContext): readonly string[];
  /**
   * Seconds of grace of this delete, or undefined when the kind is deleted at once (all but pods).
   * Called before the grace of an earlier delete is compared.
   */
  gracePeriodSeconds?(object: T, request: DeleteRequest): number | undefined;
  /** Finalizers that the kind keeps outside of metadata (namespaces: spec.finalizers). */
  otherFinalizers?(object: T): readonly string[];
  /** In place, when a deletion that must wait begins (namespaces: phase Terminating). */
  onDeletionMark?(object: T): void;
  /** True: immediate deletion answers with the object instead of a Status. */
  readonly returnsDeletedObject?: boolean | undefined;
  /** True: metadata.generation is 1 on create and rises on updates of the main resource. */
  readonly hasGeneration?: boolean | undefined;
  /** With hasGeneration: whether it rises. Absent: when a field but metadata and status differs. */
  bumpsGeneration?(object: T, old: T): boolean;

  /** Field labels besides metadata.name and metadata.namespace that selectors may use. */
  readonly fieldLabels?: readonly string[] | undefined;
  /** Their values, one for each of `fieldLabels`; '' where the object has none. */
  selectableFields?(object: T): Readonly<Record<string, string>>;

  /** By subresource name: status, ephemeralcontainers, resize, approval, finalize. */
  readonly subresources?: Readonly<Record<string, UpdateRules<T>>> | undefined;
  /** The /scale subresource. */
  readonly scale?: ScaleRules<T> | undefined;
  /** Absent: Name and Age. */
  readonly table?: TableRules<T> | undefined;
}

export interface ScaleRules<T extends KubeObject = KubeObject> {
  specReplicas(object: T): number;
  statusReplicas(object: T): number;
  /** `status.selector`: the selector in its textual form. */
  selector(object: T): string;
  /** In place. */
  setSpecReplicas(object: T, replicas: number): void;
}

/** One column of a Table (meta/v1 TableColumnDefinition). */
export interface TableColumn {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'number' | 'boolean' | 'date';
  /** `name` for the Name column, else ''. */
  readonly format: string;
  readonly description: string;
  /** 0 = always shown, 1 = with -o wide. */
  readonly priority: number;
}

export interface TableRow {
  /** One for each column. */
  readonly cells: readonly unknown[];
  readonly conditions?:
    | readonly { type: string; status: string; reason?: string; message?: string }[]
    | undefined;
}

export interface TableRules<T extends KubeObject = KubeObject> {
  readonly columns: readonly TableColumn[];
  row(object: T, nowMs: number): TableRow;
}

/** A resource as the registry and the handlers see it. */
export interface ResourceDeclaration {
  readonly facts: ResourceFacts;
  readonly rules: ResourceRules;
}
