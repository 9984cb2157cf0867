"""Serve the gateway: ``python -m services.gateway``."""

import signal
import sys
from types import FrameType

import uvicorn
import uvloop

from libs.process import heap
from libs.process.context import Readiness
from libs.process.health import serving_health
from libs.process.settings import ServiceSettings
from libs.storage.settings import MongoSettings
from libs.telemetry.logs import configure_logging
from services.gateway.app import SERVICE, create_app, readiness
from services.gateway.http.server import server_config
from services.gateway.settings import GatewaySettings


async def serve(service: ServiceSettings, mongo: MongoSettings, gateway: GatewaySettings) -> bool:
    """Serve clients at ``ROWDOCK_PORT`` and operators at ``ROWDOCK_OPS_PORT`` until SIGTERM or SIGINT, then finish the
    requests at work; whether it ever came so far."""
    app = create_app(service, mongo, gateway)
    server = uvicorn.Server(server_config(app, service.host, gateway))

    async def ready() -> Readiness:
        return await readiness(app) if server.started else Readiness("starting")

    heap.settle()
    async with serving_health(service, ready, app.state.metrics):
        await server.serve()
    return server.started


def _stopped(number: int, frame: FrameType | None) -> None:
    """uvicorn raises the signal again when it has stopped; an orderly stop is no failure."""


def main() -> None:
    """Serve; the exit code is 1 where that could not begin."""
    service = ServiceSettings.model_validate({})
    configure_logging(SERVICE, service.instance, service.log_level)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stopped)
    if not uvloop.run(serve(service, MongoSettings.model_validate({}), GatewaySettings.model_validate({}))):
        sys.exit(1)


if __name__ == "__main__":
    main()
