"""Quotes of the reference of the importers API: every example, table and list of it."""

BASE = "/api/v1"
LIST = """
[
  {
    "id": "uuid",
    "name": "Customer Import",
    "key": "uuid-key-string",
    "description": "Import customer data",
    "fields": [...],
    "webhook_url": "https://example.com/webhook",
    "webhook_enabled": true,
    "include_data_in_webhook": false,
    "webhook_data_sample_size": 10,
    "include_unmatched_columns": false,
    "filter_invalid_rows": false,
    "disable_on_invalid_rows": false,
    "dark_mode": false,
    "created_at": "2024-01-01T00:00:00Z"
  }
]
"""
IMPORTER = """
{
  "id": "uuid",
  "name": "Customer Import",
  "key": "uuid-key-string",
  "description": "Import customer data",
  "fields": [
    {
      "name": "email",
      "display_name": "Email Address",
      "id": "email",              // Computed from name
      "label": "Email Address",    // Computed from display_name
      "type": "email",
      "validators": [
        {
          "type": "required",
          "message": "Email is required"
        }
      ],
      "transformations": [
        { "type": "trim" },
        { "type": "lowercase" }
      ],
      "options": null
    }
  ],
  "webhook_url": "https://example.com/webhook",
  "webhook_enabled": true,
  "include_data_in_webhook": false,
  "webhook_data_sample_size": 10,
  "include_unmatched_columns": false,
  "filter_invalid_rows": false,
  "disable_on_invalid_rows": false,
  "dark_mode": false,
  "created_at": "2024-01-01T00:00:00Z",
  "updated_at": "2024-01-01T00:00:00Z"
}
"""
CREATE = """
{
  "name": "Customer Import",
  "description": "Import customer data",
  "fields": [
    {
      "name": "email",
      "display_name": "Email Address",
      "type": "email",
      "validators": [
        {
          "type": "required",
          "message": "Email is required"
        }
      ],
      "transformations": [
        { "type": "trim" },
        { "type": "lowercase" }
      ],
      "options": null
    }
  ],
  "webhook_url": "https://example.com/webhook",
  "webhook_enabled": true,
  "include_data_in_webhook": false,
  "webhook_data_sample_size": 10,
  "include_unmatched_columns": false,
  "filter_invalid_rows": false,
  "disable_on_invalid_rows": false,
  "dark_mode": false
}
"""
ADDITIONS = ("target_resource", "tenant_id", "webhook_secret", "errors")
"""What answers about importers have beyond the reference; the list has ``updated_at`` too."""
MAPPING = """
{
  "CSV Column Name": "email",
  "Customer Name": "name"
}
"""
STARTED = """
{
  "id": "uuid",
  "importer_id": "uuid",
  "status": "processing",
  "created_at": "2024-01-01T00:00:00Z"
}
"""
IMPORT = """
{
  "id": "uuid",
  "importer_id": "uuid",
  "status": "completed",
  "num_rows": 100,
  "num_errors": 2,
  "errors": [
    {
      "row": 5,
      "field": "email",
      "message": "Invalid email format"
    }
  ],
  "created_at": "2024-01-01T00:00:00Z",
  "completed_at": "2024-01-01T00:01:00Z"
}
"""
IMPORT_ADDITIONS = ("error",)
STATUSES = ("pending", "processing", "completed", "failed")
CLERK_WEBHOOK = "/clerk/webhook"
FIELD_TYPES = ("text", "email", "number", "date", "phone", "boolean", "select", "custom_regex")
VALIDATORS = (
    '{"type": "required", "message": "Field is required"}',
    '{"type": "min_length", "value": 3, "message": "Minimum 3 characters"}',
    '{"type": "max_length", "value": 50, "message": "Maximum 50 characters"}',
    '{"type": "min", "value": 0, "message": "Must be positive"}',
    '{"type": "max", "value": 100, "message": "Must be 100 or less"}',
    r'{"type": "regex", "pattern": "^[A-Z]{2}\\d{4}$", "message": "Invalid format"}',
    '{"type": "unique", "message": "Duplicate value found"}',
)
TRANSFORMATIONS = """
{
  "transformations": [
    { "type": "trim" },
    { "type": "uppercase" },
    { "type": "lowercase" },
    { "type": "capitalize" },
    { "type": "remove_special_chars" },
    { "type": "normalize_phone" },
    { "type": "normalize_date", "format": "YYYY-MM-DD" },
    { "type": "default", "value": "N/A" },
    { "type": "replace", "find": " ", "replace": "_" }
  ]
}
"""
EVENTS = {
    "import.started": """
{
  "event": "import.started",
  "importer_id": "uuid",
  "import_id": "uuid",
  "timestamp": "2024-01-01T00:00:00Z"
}
""",
    "import.completed": """
{
  "event": "import.completed",
  "importer_id": "uuid",
  "import_id": "uuid",
  "num_rows": 100,
  "timestamp": "2024-01-01T00:00:00Z"
}
""",
    "import.failed": """
{
  "event": "import.failed",
  "importer_id": "uuid",
  "import_id": "uuid",
  "error": "Processing error",
  "timestamp": "2024-01-01T00:00:00Z"
}
""",
}
EVENT_ADDITIONS = ("type", "data")
OPTIONS = """
include_unmatched_columns boolean false Include CSV columns not defined in schema
filter_invalid_rows boolean false Filter out rows that fail validation
disable_on_invalid_rows boolean false Prevent import if any row has errors
include_data_in_webhook boolean false Include processed data in webhook payload
webhook_data_sample_size number null Number of rows to include in webhook sample
dark_mode boolean false Enable dark mode for the importer UI
"""
ERROR = """
{
  "detail": "Error message",
  "status_code": 400
}
"""
ERROR_ADDITIONS = ("code", "errors", "request_id")
