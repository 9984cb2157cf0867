"""``python -m services.gateway.requests``"""

from libs.process.service import run_service
from libs.process.settings import ServiceSettings
from libs.storage.settings import MongoSettings
from services.gateway.requests.app import create_service
from services.gateway.requests.settings import RequestSettings
from services.gateway.settings import GatewaySettings

if __name__ == "__main__":
    run_service(
        create_service(
            ServiceSettings.model_validate({}),
            MongoSettings.model_validate({}),
            GatewaySettings.model_validate({}),
            RequestSettings.model_validate({}),
        )
    )
