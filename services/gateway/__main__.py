"""Serve the gateway: ``python -m services.gateway``."""

import asyncio
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
from libs.telemetry import tracing
from libs.telemetry.logs import configure_logging
from services.gateway.app import SERVICE, create_app, readiness
from services.gateway.http.server import server_config
from services.gateway.settings import GatewaySettings


async def serve(service: ServiceSettings, mongo: MongoSettings, gateway: GatewaySettings) -> bool:
    """Serve clients at ``ROWDOCK_PORT`` and operators at ``ROWDOCK_OPS_PORT`` until SIGTERM or SIGINT, then finish the
    requests at work; whether it ever came so far."""
    app = create_app(service, mongo, gateway)
    server = _Server(server_config(app, service.host, gateway), gateway.drain_seconds)

    async def ready() -> Readiness:
        if server.told_to_stop:
            return Readiness("stopping")
        return await readiness(app) if server.started else Readiness("starting")

    heap.settle()
    async with serving_health(service, ready, app.state.metrics):
        await server.serve()
    return server.started


class _Server(uvicorn.Server):
    """Goes on serving for a while once it is told to stop, unready: whoever hands requests out sees that first."""

    def __init__(self, config: uvicorn.Config, drain_seconds: float) -> None:
        super().__init__(config)
        self._drain_seconds = drain_seconds
        self.told_to_stop = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal came. A second one ends the wait."""
        if self.told_to_stop or not self._drain_seconds:
            super().handle_exit(sig, frame)
        else:
            loop = asyncio.get_running_loop()
            loop.call_soon_threadsafe(loop.call_later, self._drain_seconds, super().handle_exit, sig, frame)
        self.told_to_stop = True


def _stopped(number: int, frame: FrameType | None) -> None:
    """uvicorn raises the signal again when it has stopped; an orderly stop is no failure."""


def main() -> None:
    """Serve; the exit code is 1 where that could not begin."""
    service = ServiceSettings.model_validate({})
    configure_logging(SERVICE, service.instance, service.log_level)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stopped)
    mongo, gateway = MongoSettings.model_validate({}), GatewaySettings.model_validate({})
    with tracing.exporting(SERVICE, service.instance):
        served = uvloop.run(serve(service, mongo, gateway))
    if not served:
        sys.exit(1)


if __name__ == "__main__":
    main()
