"""``python -m services.webhooks``"""

from libs.process.service import run_service
from libs.process.settings import ServiceSettings
from libs.storage.settings import MongoSettings
from services.webhooks.app import create_service
from services.webhooks.settings import WebhookSettings

if __name__ == "__main__":
    run_service(
        create_service(
            ServiceSettings.model_validate({}), MongoSettings.model_validate({}), WebhookSettings.model_validate({})
        )
    )
