"""Generated from docs/openapi.json by `make docs`: what is sent and answered, under its names there."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AwareDatetime, Field

from rowdock_client.shape import Shape


class BacklogView(Shape):
    count: int = Field(..., description="At most 10,000.")
    oldest_at: AwareDatetime | None


class BulkCorrectionRequest(Shape):
    """
    The same change of one cell in all open and corrected rows with one error, on top of earlier corrections.

    ``code`` and ``field`` are those of the error; ``column`` names the column whose cells are changed, by its header or
    its field, where that is not the one of ``field``. Rows that are corrected after ``as_of`` are left alone: with the
    ``as_of`` of a dry run no row is changed that it did not show so, and a request that is repeated changes nothing
    twice.
    """

    as_of: str | None = None
    change: Replacement | Setting | Clearing = Field(..., discriminator="type")
    code: str
    column: str | None = None
    field: str


class BulkCorrectionView(Shape):
    as_of: AwareDatetime
    change: Replacement | Setting | Clearing
    changed_count: int
    checked: bool
    code: str
    column: str
    dry_run: bool
    examples: list[ExampleOfChange]
    field: str
    finished_at: AwareDatetime | None
    left: LeftRows
    matching_count: int
    remaining_count: int | None
    requested_at: AwareDatetime
    run_id: str
    status: Literal["waiting", "done"]
    unchanged_count: int


class ChangeView(Shape):
    after: Any
    before: Any


class Clearing(Shape):
    """
    The cell is empty then.
    """

    type: Literal["clear"]


class ColumnReadingView(Shape):
    column: str
    currency: str | None
    date_format: str | None
    date_order: Literal["dmy", "mdy", "ymd"] | None
    decided_by: Literal["template", "values", "most_values", "default"] | None
    decimal_style: Literal["point", "comma"] | None
    examples: list[ExampleView]
    null_values: list[str] | None
    percent: Literal["fraction", "as_is"] | None
    two_digit_years: str | None
    type: Literal["integer", "text", "number", "email", "date", "boolean", "phone", "url", "select", "custom_regex"]
    words: list[str]


class ColumnWidth(Shape):
    name: str | None = None
    width: int


class ConsumerView(Shape):
    members: int
    service: str
    state: str
    topic: str
    waiting: int


class CopiedFromView(Shape):
    template_id: str
    tenant_id: str
    version: int


class Correction(Shape):
    """
    Corrections of a rejected row, in the place of all earlier ones; without any it is as in the file again.

    ``corrected_data``: headers of the file or names of fields, and what is in that cell: a text, a number, true, false,
    or null where it is empty.
    """

    corrected_data: dict[str, str | int | float | bool | None]


class CorrectionsView(Shape):
    corrected: int
    left_out: dict[str, int]
    left_out_rows: list[LeftOutView]
    notes: list[str]
    rows: int


class CreateSample(Shape):
    after: dict[str, Any]
    row: int


class DatabaseView(Shape):
    data: int
    disk_total: int
    disk_used: int
    indexes: int
    name: str
    stored: int


class DeadLettersView(Shape):
    by_status: dict[str, BacklogView]
    newest: list[LetterHeadView]


class DeleteSample(Shape):
    record_id: str
    row: int | None


class DeletedPage(Shape):
    data: list[str]
    next_after: str | None


class DryRunView(Shape):
    error: FailureView | None
    errors: list[RowErrorView]
    plan: PlanView | None
    preview_rows: list[dict[str, Any]]
    rejected_count: int
    skipped: dict[str, int]
    skipped_count: int
    status: Literal["validated", "failed"]
    total_rows: int
    valid_rows: int
    warning_count: int


class EngineFieldMapping(Shape):
    """
    One field of the target record and the column that it is read from.

    Without ``source`` the column is found by ``target``, ``label`` and ``aliases``.
    """

    aliases: list[str] = []
    currency: str | None = Field(
        None, description="ISO 4217 code that amounts may name; found out from the column where absent."
    )
    date_format: str | None = None
    date_order: Literal["dmy", "mdy", "ymd"] | None = None
    decimal_style: Literal["point", "comma"] | None = None
    decimals: int | None = None
    description: str | None = None
    false_values: list[str] | None = None
    integer: bool | None = None
    label: str | None = None
    null_values: list[str] | None = None
    options: list[str] | None = None
    past: bool | None = Field(
        None, description="Of dates: none is after the day of the import, and two-digit years are read so."
    )
    percent: Literal["fraction", "as_is"] | None = Field(
        None, description="What 12 % is: 0.12 or 12. Numbers with a percent sign are refused where absent."
    )
    region: str | None = None
    required: bool = False
    source: str | None = None
    target: str
    transform: str | None = Field(
        None, description="trim, upper, lower, boolean, integer, decimal:N, date:FORMAT, constant:VALUE or concat:f1,f2"
    )
    transformations: list[Transformation] = Field([], validate_default=True)
    true_values: list[str] | None = None
    type: (
        Literal[
            "integer", "text", "string", "number", "email", "date", "boolean", "phone", "url", "select", "custom_regex"
        ]
        | None
    ) = None
    validators: list[Validator] = Field([], validate_default=True)


class EngineTemplate(Shape):
    """
    The blueprint of an import: what the file looks like and what becomes of it.
    """

    auto_execute: bool = False
    column_widths: list[int] | dict[str, int] | list[ColumnWidth] | None = Field(
        None, description="Widths in the order of the columns; with names where the file has no header line."
    )
    comment_prefix: str | None = Field(None, description="Of CSV: what the lines begin with that are no rows.")
    dark_mode: bool = False
    default_date_order: Literal["dmy", "mdy", "ymd"] = "dmy"
    default_decimal_style: Literal["point", "comma"] = "point"
    default_region: str = "US"
    default_values: dict[str, Any] = {}
    delete_column: str | None = None
    delimiter: str | None = None
    description: str | None = None
    encoding: str | None = None
    escape_char: str | None = Field(
        None, description="Of CSV: what makes the next quote text; empty where nothing does. Found out where absent."
    )
    field_mapping: list[EngineFieldMapping]
    file_type: str = Field(
        "csv",
        description="csv, json, xml, fixed_width, excel, a registered format of your own, or auto: what the file says it is.",
    )
    has_header: bool | None = Field(None, description="Default: true, except for fixed_width.")
    hidden_columns: Literal["include", "skip"] = Field("include", description="Of a workbook.")
    hidden_rows: Literal["include", "skip"] = Field("include", description="Of a workbook.")
    import_mode: Literal["append", "create", "upsert", "update", "sync"] = "append"
    include_data_in_webhook: bool = False
    include_unmatched_columns: bool = False
    invalid_rows: Literal["skip", "block", "keep"] = "skip"
    name: str
    null_values: list[str] | None = Field(
        None, description='Texts that mean "no value" in every field; absent: the usual ones in all fields but texts.'
    )
    quote_char: str | None = Field(
        None,
        description="Of CSV: what cells are enclosed in; empty where quotes are plain text; found out where absent.",
    )
    record_events: Literal["off", "ids", "fields", "values"] = Field(
        "off",
        description="What `records.changed.v1` on Kafka tells trusted consumers of the records that runs change: nothing, their ids, also the names of the fields that changed, also their values.",
    )
    record_path: str | None = Field(
        None,
        description="Of JSON (data.items or /data/items) and XML (rss/channel/item): where the records are, if that is not to be found out from the file.",
    )
    required_columns: list[str] = []
    scope_filter: dict[str, Any] | None = None
    shared_with_children: bool = Field(
        False, description="Whether the organizations below may use the template too, without changing it."
    )
    sheet: int | str | None = Field(None, description="Of a workbook: name, or index from 0.")
    skip_footer_rows: int | None = Field(
        None, description="Of CSV and Excel: rows at the end that are no data; found out where absent."
    )
    skip_rows: int = 0
    target_resource: str
    two_digit_year_pivot: int | None = Field(
        None,
        description="The first two-digit year of the 20th century. Absent: 69, and no year more than 20 years ahead.",
    )
    upsert_key: str | None = None
    version: int | None = Field(
        None, description="With PUT: the version that is being replaced; 409 where it no longer is."
    )
    webhook_data_sample_size: int | None = None
    webhook_enabled: bool = True
    webhook_secret: str | None = None
    webhook_url: str | None = None
    width_unit: Literal["characters", "bytes"] = "characters"
    zero_dates: Literal["error", "empty"] = Field("error", description="What 0000-00-00 and the like are.")


class EngineTemplateView(Shape):
    auto_execute: bool = False
    column_widths: Any | None = None
    comment_prefix: str | None = Field(None, description="Of CSV: what the lines begin with that are no rows.")
    copied_from: CopiedFromView | None = None
    created_at: AwareDatetime
    dark_mode: bool = False
    default_date_order: Literal["dmy", "mdy", "ymd"] = "dmy"
    default_decimal_style: Literal["point", "comma"] = "point"
    default_region: str = "US"
    default_values: dict[str, Any] = {}
    delete_column: str | None = None
    delimiter: str | None = None
    description: str | None = None
    encoding: str | None = None
    errors: list[ProblemView] = Field([], validate_default=True)
    escape_char: str | None = Field(
        None, description="Of CSV: what makes the next quote text; empty where nothing does. Found out where absent."
    )
    field_mapping: list[EngineFieldMapping]
    file_type: str = Field(
        "csv",
        description="csv, json, xml, fixed_width, excel, a registered format of your own, or auto: what the file says it is.",
    )
    has_header: bool | None = Field(None, description="Default: true, except for fixed_width.")
    hidden_columns: Literal["include", "skip"] = Field("include", description="Of a workbook.")
    hidden_rows: Literal["include", "skip"] = Field("include", description="Of a workbook.")
    id: str
    import_mode: Literal["append", "create", "upsert", "update", "sync"] = "append"
    include_data_in_webhook: bool = False
    include_unmatched_columns: bool = False
    invalid_rows: Literal["skip", "block", "keep"] = "skip"
    name: str
    null_values: list[str] | None = Field(
        None, description='Texts that mean "no value" in every field; absent: the usual ones in all fields but texts.'
    )
    quote_char: str | None = Field(
        None,
        description="Of CSV: what cells are enclosed in; empty where quotes are plain text; found out where absent.",
    )
    read_only: bool = False
    record_events: Literal["off", "ids", "fields", "values"] = Field(
        "off",
        description="What `records.changed.v1` on Kafka tells trusted consumers of the records that runs change: nothing, their ids, also the names of the fields that changed, also their values.",
    )
    record_path: str | None = Field(
        None,
        description="Of JSON (data.items or /data/items) and XML (rss/channel/item): where the records are, if that is not to be found out from the file.",
    )
    required_columns: list[str] = []
    scope_filter: dict[str, Any] | None = None
    shared_from_tenant_id: str | None = None
    shared_with_children: bool = Field(
        False, description="Whether the organizations below may use the template too, without changing it."
    )
    sheet: int | str | None = Field(None, description="Of a workbook: name, or index from 0.")
    skip_footer_rows: int | None = Field(
        None, description="Of CSV and Excel: rows at the end that are no data; found out where absent."
    )
    skip_rows: int = 0
    target_resource: str
    tenant_id: str
    two_digit_year_pivot: int | None = Field(
        None,
        description="The first two-digit year of the 20th century. Absent: 69, and no year more than 20 years ahead.",
    )
    updated_at: AwareDatetime
    upsert_key: str | None = None
    version: int | None = 1
    webhook_data_sample_size: int | None = None
    webhook_disabled_at: AwareDatetime | None = None
    webhook_disabled_reason: str | None = None
    webhook_enabled: bool = True
    webhook_secret: str | None = None
    webhook_url: str | None = None
    width_unit: Literal["characters", "bytes"] = "characters"
    zero_dates: Literal["error", "empty"] = Field("error", description="What 0000-00-00 and the like are.")


class ErrorView(Shape):
    """
    What is wrong, where, and how to fix it; ``request_id`` finds the request in the logs.
    """

    code: str
    detail: str
    errors: list[ProblemView]
    request_id: str
    status_code: int


class ExampleOfChange(Shape):
    after: str | None
    before: str | None
    id: str
    row: int


class ExampleView(Shape):
    error: str | None
    text: str
    value: Any


class FailureView(Shape):
    code: str
    message: str


class HolderView(Shape):
    alive: bool
    owner: str
    until: AwareDatetime | None
    work: str = Field(..., description="`parse`, `whole_file_check` or `sync_plan`.")


class KafkaView(Shape):
    consumers: list[ConsumerView]
    obstacle: str | None


class KeptView(Shape):
    fields: list[str]
    reason: str
    record_id: str
    row: int | None


class LeftOutView(Shape):
    row: int
    state: Literal["open", "corrected", "retrying", "written", "skipped", "discarded", "returned"] = Field(
        ..., description="What has become of a rejected row since."
    )


class LeftRows(Shape):
    corrected_since: int = 0
    not_checked: int = 0
    too_long: int = 0


class LetterHeadView(Shape):
    code: str
    created_at: AwareDatetime
    decided_at: AwareDatetime | None
    decided_by: str | None
    id: str
    message: str
    offset: int
    partition: int
    reason: str | None
    replayed_at: AwareDatetime | None
    service: str
    status: Literal["waiting", "replaying", "replayed", "discarded"] = Field(
        ..., description="What is to become of a letter."
    )
    topic: str


class MatchView(Shape):
    column: str | None
    confidence: float
    method: Literal["given", "exact", "normalised", "alias", "fuzzy"]


class PlanView(Shape):
    columns: list[str]
    columns_read: dict[str, ColumnReadingView]
    date_orders: dict[str, Literal["dmy", "mdy", "ymd"]]
    decimal_styles: dict[str, Literal["point", "comma"]]
    delimiter: str | None
    encoding: str
    file_type: str
    has_header: bool
    mapping: dict[str, str | None]
    matches: dict[str, MatchView]
    notes: list[str]
    sheet: str | int | None
    unmatched: list[str]


class PreviewSamples(Shape):
    create: list[CreateSample]
    delete: list[DeleteSample]
    reject: list[RejectSample]
    skip: list[SkipSample]
    update: list[UpdateSample]


class PreviewView(Shape):
    error: FailureView | None
    errors: list[RowErrorView]
    plan: PlanView | None
    rejected_count: int
    rows_planned: int
    run_id: str | None
    samples: PreviewSamples
    skipped: dict[str, int]
    status: Literal["waiting", "done", "failed"]
    to_create: int | None
    to_delete: int | None
    to_skip: int | None
    to_update: int | None
    total_rows: int
    unchanged_count: int | None
    version: str | None


class ProblemView(Shape):
    code: str
    location: str
    message: str


class ProcessView(Shape):
    alive: bool
    clock_ahead_ms: int
    instance: str
    rescues: dict[str, int]
    seen_at: AwareDatetime
    service: str
    started_at: AwareDatetime
    version: str


class ProgressView(Shape):
    batches: int
    parsing_finished: bool
    rows_parsed: int
    rows_validated: int
    rows_written: int


class RecordView(Shape):
    created_at: str | None
    deleted_at: str | None
    extra: dict[str, Any] | None
    fields: dict[str, Any]
    id: str
    is_deleted: bool
    row: int | None
    run_id: str | None
    tenant_id: str
    updated_at: str | None
    version: int | None


class RejectSample(Shape):
    errors: list[RowReasonView]
    row: int


class RejectedPage(Shape):
    data: list[RejectedView]
    next_after: int | None


class RejectedRowsView(Shape):
    corrected: int
    discarded: int
    open: int
    retried_skipped: int
    retried_written: int
    retrying: int
    returned: int


class RejectedView(Shape):
    cells: list[str | None]
    checked: bool
    columns: list[str]
    corrected_data: dict[str, str | None] | None
    created_at: AwareDatetime
    data: dict[str, str | None]
    errors: list[dict[str, Any]]
    id: str
    retry_run_id: str | None
    row: int
    run_id: str
    skip_reason: str | None
    state: Literal["open", "corrected", "retrying", "written", "skipped", "discarded", "returned"] = Field(
        ..., description="What has become of a rejected row since."
    )


class Replacement(Shape):
    """
    Where the cell is ``old``, it is ``new`` then; with ``match`` ``part``, every place in it that is ``old`` is.

    Texts are compared as they are, with capital and small letters; an empty ``old`` means an empty cell.
    """

    match: Literal["cell", "part"] = "cell"
    new: str | int | float | bool | None
    old: str | None
    type: Literal["replace"]


class RetentionView(Shape):
    dead_letters_days: float
    files_days: float
    idempotency_keys_hours: float
    leaving_organizations: int
    oldest_dead_letter_at: AwareDatetime | None
    oldest_ended_run_at: AwareDatetime | None
    runs_days: float


class RevertView(Shape):
    kept_count: int
    removed_count: int
    restored_count: int
    returned_count: int


class RowErrorView(Shape):
    code: str | None = None
    column: str | None = None
    field: str | None = None
    message: str | None = None
    row: int
    value: Any | None = None


class RowKeptView(Shape):
    fields: list[str]
    reason: str


class RowOutcomeView(Shape):
    data: dict[str, str | None] | None
    data_missing: str | None
    kept: RowKeptView | None
    more_cells: list[str | None]
    outcome: Literal["pending", "created", "updated", "unchanged", "deleted", "rejected", "skipped", "written"] = Field(
        ..., description="What became of a row. When its run is reverted that stays, for it is history."
    )
    reasons: list[RowReasonView]
    record_id: str | None
    revert: str | None
    row: int
    warnings: list[RowReasonView]


class RowReasonView(Shape):
    code: str
    column: str | None = None
    field: str | None = None
    message: str
    value: str | None = None


class RowsPage(Shape):
    data: list[RowOutcomeView]
    next_after: int | None


class RunPage(Shape):
    data: list[RunSummaryView]
    next_after: str | None


class RunSummaryView(Shape):
    auto_execute: bool
    completed_at: AwareDatetime | None
    created_at: AwareDatetime
    created_count: int
    deleted_count: int
    duplicate_of: str | None
    error: FailureView | None
    error_count: int
    executing_at: AwareDatetime | None
    file_name: str
    file_removed_at: AwareDatetime | None
    file_sha256: str
    file_size: int
    finished_at: AwareDatetime | None
    id: str
    import_mode: str
    parent_run_id: str | None
    rejected_count: int
    reverted: RevertView | None
    revertible_until: AwareDatetime | None
    skipped: dict[str, int]
    skipped_count: int
    started_by: StartedByView | None
    status: Literal[
        "pending", "validating", "validated", "executing", "completed", "reverting", "reverted", "failed", "cancelled"
    ]
    target_resource: str
    target_tenant_id: str
    template_id: str
    template_name: str
    template_version: int
    total_rows: int
    unchanged_count: int
    updated_at: AwareDatetime
    updated_count: int
    valid_rows: int
    validated_at: AwareDatetime | None
    warning_count: int
    written_count: int


class RunView(Shape):
    auto_execute: bool
    completed_at: AwareDatetime | None
    corrections: CorrectionsView | None
    created_at: AwareDatetime
    created_count: int
    deleted_count: int
    deleted_ids: list[str]
    duplicate_of: str | None
    error: FailureView | None
    error_count: int
    errors: list[RowErrorView]
    executing_at: AwareDatetime | None
    file_name: str
    file_removed_at: AwareDatetime | None
    file_sha256: str
    file_size: int
    finished_at: AwareDatetime | None
    id: str
    import_mode: str
    kept: list[KeptView]
    parent_run_id: str | None
    plan: PlanView | None
    preview_rows: list[dict[str, Any]]
    progress: ProgressView | None
    rejected_count: int
    rejected_rows: RejectedRowsView | None
    reverted: RevertView | None
    revertible_until: AwareDatetime | None
    skipped: dict[str, int]
    skipped_count: int
    started_by: StartedByView | None
    status: Literal[
        "pending", "validating", "validated", "executing", "completed", "reverting", "reverted", "failed", "cancelled"
    ]
    sync: SyncView | None
    target_resource: str
    target_tenant_id: str
    template_id: str
    template_name: str
    template_version: int
    total_rows: int
    unchanged_count: int
    updated_at: AwareDatetime
    updated_count: int
    valid_rows: int
    validated_at: AwareDatetime | None
    warning_count: int
    written_count: int


class Setting(Shape):
    """
    The cell is ``new`` then, whatever it was.
    """

    new: str | int | float | bool | None
    type: Literal["set"]


class SkipSample(Shape):
    code: str
    row: int


class StartedByView(Shape):
    subject: str
    tenant_id: str


class StatusView(Shape):
    at: AwareDatetime
    databases: list[DatabaseView]
    dead_letters: DeadLettersView
    kafka: KafkaView
    not_all_looked_at: list[
        Literal[
            "pending",
            "validating",
            "validated",
            "executing",
            "completed",
            "reverting",
            "reverted",
            "failed",
            "cancelled",
        ]
    ]
    outbox: dict[str, BacklogView] = Field(..., description="Events that each service has not published yet.")
    processes: list[ProcessView]
    release: str
    retention: RetentionView
    runs: dict[str, BacklogView]
    stuck: list[StuckRunView]
    stuck_after_seconds: float


class StuckRunView(Shape):
    announced_batches: int
    attempts: int
    batches: dict[str, int]
    created_at: AwareDatetime
    holder: HolderView | None
    last_error: LetterHeadView | None
    quiet_since: AwareDatetime
    rescues: dict[str, int]
    run_id: str
    status: Literal[
        "pending", "validating", "validated", "executing", "completed", "reverting", "reverted", "failed", "cancelled"
    ]
    tenant_id: str
    why: str


class SyncView(Shape):
    confirmed: int | Literal[True] | None
    delete_count: int
    live_count: int
    max_deleted_share: float
    message: str | None
    reasons: list[str]
    requested_at: AwareDatetime
    stage: str
    unclear_count: int
    waiting_for: str | None


class TemplatePage(Shape):
    data: list[EngineTemplateView]
    next_after: str | None


class TenantPage(Shape):
    data: list[TenantView]
    next_after: str | None


class TenantView(Shape):
    disabled_webhook_endpoints: int
    id: str
    name: str
    parent_id: str | None


class Transformation(Shape):
    """
    A change of the text. ``value`` for ``default`` and ``constant``, ``find`` and ``replace`` for ``replace``,
    ``format`` for ``normalize_date``, ``region`` for ``normalize_phone``, ``columns`` for ``concat``.
    """

    columns: list[str] | None = None
    find: str | None = None
    format: str | None = None
    region: str | None = None
    replace: str | None = None
    type: Literal[
        "trim",
        "upper",
        "uppercase",
        "lower",
        "lowercase",
        "capitalize",
        "remove_special_chars",
        "normalize_phone",
        "normalize_date",
        "default",
        "replace",
        "constant",
        "concat",
    ]
    value: str | None = None


class UpdateSample(Shape):
    changes: dict[str, ChangeView]
    record_id: str
    row: int


class Validator(Shape):
    """
    A rule. ``value`` for the four bounds, ``pattern`` (or ``value``) for ``regex``, ``values`` (or ``value``) for
    ``enum``, ``fields`` and ``against_target`` for ``unique``, ``field`` and ``values`` for ``required_if``,
    ``field`` and ``operator`` for ``compare``.
    """

    against_target: bool | None = None
    field: str | None = None
    fields: list[str] | None = None
    message: str | None = None
    operator: Literal["eq", "ne", "lt", "le", "gt", "ge"] | None = None
    pattern: str | None = None
    type: Literal[
        "required",
        "min_length",
        "minLength",
        "max_length",
        "maxLength",
        "min",
        "max",
        "regex",
        "enum",
        "unique",
        "required_if",
        "compare",
    ]
    value: int | float | str | bool | list[str] | None = None
    values: list[str] | None = None


class WrittenRecordView(Shape):
    outcome: Literal["pending", "created", "updated", "unchanged", "deleted", "rejected", "skipped", "written"] = Field(
        ..., description="What became of a row. When its run is reverted that stays, for it is history."
    )
    record: RecordView
    row: int


class WrittenRecordsPage(Shape):
    data: list[WrittenRecordView]
    next_after: int | None
