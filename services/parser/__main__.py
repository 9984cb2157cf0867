"""``python -m services.parser``"""

from libs.process.service import run_service
from libs.process.settings import ServiceSettings
from libs.storage.settings import MongoSettings
from services.parser.app import create_service
from services.parser.settings import ParserSettings

if __name__ == "__main__":
    run_service(
        create_service(
            ServiceSettings.model_validate({}), MongoSettings.model_validate({}), ParserSettings.model_validate({})
        )
    )
