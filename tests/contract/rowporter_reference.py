"""What the reference of Rowporter's interface quotes: requests, answers, tables."""

from typing import Any

from tests.contract.comparing import quoted

Json = dict[str, Any]

TEMPLATE_LIST: Json = quoted("""
{
  "data": [
    {
      "id": "tpl_abc123",
      "name": "Contact Import",
      "description": "Import contact information",
      "columns": [...],
      "allowExtraColumns": false,
      "skipHeaderRows": 1,
      "importCount": 45,
      "createdAt": "2024-01-10T10:00:00Z",
      "updatedAt": "2024-01-15T14:30:00Z"
    }
  ],
  "pagination": {
    "page": 1,
    "limit": 20,
    "total": 5,
    "totalPages": 1
  }
}
""")
TEMPLATE_REQUEST: Json = quoted("""
{
  "name": "Contact Import",           // required, string
  "description": "Import contacts",    // optional, string
  "columns": [                         // required, array
    {
      "key": "email",                  // required, unique identifier
      "name": "Email Address",         // required, display name
      "type": "email",                 // required: string|number|email|date|boolean|url|phone
      "required": true,                // optional, default: false
      "description": "Help text",      // optional
      "validations": [                 // optional, array of validation rules
        {
          "type": "regex",
          "value": "^[a-z]+@company\\\\.com$",
          "message": "Must be a company email"
        }
      ],
      "suggestedMappings": ["email", "e-mail", "email_address"]  // optional
    }
  ],
  "allowExtraColumns": false,          // optional, default: false
  "skipHeaderRows": 1,                 // optional, default: 1
  "allowPartialImport": false          // optional, default: false
}
""")
TEMPLATE_BY_CURL: Json = quoted("""
{
  "name": "Contact Import",
  "columns": [
    {"key": "email", "name": "Email", "type": "email", "required": true},
    {"key": "name", "name": "Full Name", "type": "string", "required": true},
    {"key": "age", "name": "Age", "type": "number", "validations": [{"type": "min", "value": 0}, {"type": "max", "value": 150}]}
  ]
}
""")  # noqa: E501 - as it is quoted
COLUMN_DEFAULTS: Json = {"required": False, "description": None, "validations": [], "suggestedMappings": []}
TEMPLATE_DEFAULTS: Json = {
    "description": None, "allowExtraColumns": False, "skipHeaderRows": 1, "allowPartialImport": False,
}  # fmt: skip
TYPES = ["string", "number", "email", "date", "boolean", "url", "phone"]
DUPLICATE: Json = quoted("""
{
  "id": "tpl_xyz789",
  "name": "Contact Import (Copy)",
  "description": "Import contacts from CSV",
  "columns": [...],
  "allowExtraColumns": false,
  "skipHeaderRows": 1,
  "allowPartialImport": false,
  "embedEnabled": true,
  "createdAt": "2024-01-15T10:30:00.000Z",
  "updatedAt": "2024-01-15T10:30:00.000Z"
}
""")
IMPORT_LIST: Json = quoted("""
{
  "data": [
    {
      "id": "imp_xyz789",
      "templateId": "tpl_abc123",
      "templateName": "Contact Import",
      "fileName": "contacts.csv",
      "fileType": "csv",
      "fileSize": 15234,
      "totalRows": 150,
      "validRows": 145,
      "errorRows": 5,
      "status": "COMPLETED",
      "metadata": {"source": "dashboard"},
      "webhookStatus": "DELIVERED",
      "createdAt": "2024-01-15T10:30:00Z",
      "completedAt": "2024-01-15T10:30:45Z"
    }
  ],
  "pagination": {"page": 1, "limit": 20, "total": 1, "totalPages": 1}
}
""")
IMPORT: Json = quoted("""
{
  "id": "imp_xyz789",
  "templateId": "tpl_abc123",
  "template": {
    "id": "tpl_abc123",
    "name": "Contact Import",
    "columns": [...]
  },
  "fileName": "contacts.csv",
  "fileType": "csv",
  "fileSize": 15234,
  "totalRows": 150,
  "validRows": 145,
  "errorRows": 5,
  "columnMapping": {
    "Email Address": "email",
    "Full Name": "name"
  },
  "status": "COMPLETED",
  "metadata": {"source": "dashboard"},
  "externalUserId": "user-123",
  "webhookStatus": "DELIVERED",
  "webhookAttempts": 1,
  "webhookDeliveredAt": "2024-01-15T10:30:50Z",
  "createdAt": "2024-01-15T10:30:00Z",
  "completedAt": "2024-01-15T10:30:45Z"
}
""")
BRANDING: Json = quoted("""
{
  "primaryColor": "#3B82F6",
  "secondaryColor": "#1E40AF",
  "accentColor": "#10B981",
  "backgroundColor": "#FFFFFF",
  "textColor": "#111827",
  "borderColor": "#E5E7EB",
  "errorColor": "#EF4444",
  "successColor": "#22C55E",
  "logoUrl": "https://example.com/logo.png",
  "faviconUrl": null,
  "showPoweredBy": true,
  "fontFamily": "Inter, system-ui, sans-serif",
  "headingFontFamily": "Inter, system-ui, sans-serif",
  "fontSize": "medium",
  "borderRadius": "medium",
  "buttonStyle": "filled",
  "headerStyle": "default",
  "customCss": null,
  "customWelcomeText": null,
  "customSuccessText": null,
  "customErrorText": null,
  "locale": "en"
}
""")
BRANDING_CHANGES: Json = quoted("""
{
  "primaryColor": "#6366F1",
  "logoUrl": "https://example.com/new-logo.png",
  "showPoweredBy": false,
  "borderRadius": "large",
  "customWelcomeText": "Upload your file to import data"
}
""")
BRANDING_SAVED: Json = quoted('{"success": true, "message": "Branding settings updated successfully"}')
ERROR: Json = quoted('{"error": {"code": "VALIDATION_ERROR", "message": "Validation error: name is required"}}')
TEMPLATE_ADDITIONS = frozenset(
    {"target_resource", "tenant_id", "webhook_url", "webhook_enabled", "webhook_secret", "errors"}
)
"""What templates show beyond the reference."""
IMPORT_ADDITIONS = frozenset({"error", "errors"})
"""Likewise of a single import."""
