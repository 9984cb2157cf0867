"""The examples of the reference, for the OpenAPI document."""

from typing import Final

from services.gateway.http.request_shape import Json

_COLUMN: Json = {
    "key": "email",
    "name": "Email Address",
    "type": "email",
    "required": True,
    "description": "Help text",
    "validations": [
        {"type": "regex", "value": "^[a-z]+@company\\.com$", "message": "Must be a company email"},
    ],
    "suggestedMappings": ["email", "e-mail", "email_address"],
}
TEMPLATE: Final[Json] = {
    "id": "tpl_6764a1b2c3d4e5f607182930",
    "name": "Contact Import",
    "description": "Import contact information",
    "columns": [_COLUMN],
    "allowExtraColumns": False,
    "skipHeaderRows": 1,
    "allowPartialImport": False,
    "embedEnabled": True,
    "importCount": 45,
    "createdAt": "2024-01-10T10:00:00.000Z",
    "updatedAt": "2024-01-15T14:30:00.000Z",
    "target_resource": "contact_import_5f0c9a1e",
    "tenant_id": "6764a1b2c3d4e5f607182900",
    "webhook_url": None,
    "webhook_enabled": True,
    "webhook_secret": None,
    "errors": [],
}
LISTED: Final[Json] = {
    "id": "imp_6764a1b2c3d4e5f607182931",
    "templateId": "tpl_6764a1b2c3d4e5f607182930",
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
    "createdAt": "2024-01-15T10:30:00.000Z",
    "completedAt": "2024-01-15T10:30:45.000Z",
}
SHOWN: Final[Json] = {
    **{name: value for name, value in LISTED.items() if name != "templateName"},
    "template": {"id": "tpl_6764a1b2c3d4e5f607182930", "name": "Contact Import", "columns": [_COLUMN]},
    "columnMapping": {"Email Address": "email", "Full Name": "name"},
    "externalUserId": "user-123",
    "webhookAttempts": 1,
    "webhookDeliveredAt": "2024-01-15T10:30:50.000Z",
    "error": None,
    "errors": [],
}
