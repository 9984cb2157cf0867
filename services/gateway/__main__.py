"""Serve the gateway: ``python -m services.gateway``."""

import signal
from types import FrameType

import uvicorn

from libs.process.settings import ServiceSettings
from libs.storage.settings import MongoSettings
from libs.telemetry.logs import configure_logging
from services.gateway.app import SERVICE, create_app
from services.gateway.http.server import Http11Protocol
from services.gateway.settings import GatewaySettings

GRACE_SECONDS = 15


def _stopped(number: int, frame: FrameType | None) -> None:
    """uvicorn raises the signal again when it has stopped; an orderly stop is no failure."""


def main() -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests at work."""
    service = ServiceSettings.model_validate({})
    configure_logging(SERVICE, service.instance, service.log_level)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stopped)
    uvicorn.run(
        create_app(service, MongoSettings.model_validate({}), GatewaySettings.model_validate({})),
        host=service.host,
        port=service.port,
        loop="uvloop",
        http=Http11Protocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


if __name__ == "__main__":
    main()
