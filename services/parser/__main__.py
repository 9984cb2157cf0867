"""``python -m services.parser``"""

import sys

from libs.process.service import run_service
from libs.process.settings import ServiceSettings
from libs.storage.settings import MongoSettings
from services.parser.app import create_service
from services.parser.settings import ParserSettings

SWITCH_SECONDS = 0.001
"""A small file changes between loop and threads a dozen times, and waits so long each time that a large one computes;
Python's own 0.005 is felt."""

if __name__ == "__main__":
    sys.setswitchinterval(SWITCH_SECONDS)
    run_service(
        create_service(
            ServiceSettings.model_validate({}), MongoSettings.model_validate({}), ParserSettings.model_validate({})
        )
    )
