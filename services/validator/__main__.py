"""``python -m services.validator``"""

from libs.process.service import run_service
from libs.process.settings import ServiceSettings
from libs.storage.settings import MongoSettings
from services.validator.app import create_service
from services.validator.settings import ValidatorSettings

if __name__ == "__main__":
    run_service(
        create_service(
            ServiceSettings.model_validate({}), MongoSettings.model_validate({}), ValidatorSettings.model_validate({})
        )
    )
