"""``python -m services.writer``"""

from libs.process.service import run_service
from libs.process.settings import ServiceSettings
from libs.storage.settings import MongoSettings
from services.writer.app import create_service
from services.writer.settings import WriterSettings

if __name__ == "__main__":
    run_service(
        create_service(
            ServiceSettings.model_validate({}), MongoSettings.model_validate({}), WriterSettings.model_validate({})
        )
    )
