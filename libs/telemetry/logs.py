"""One JSON line per event on standard output, secrets masked and without values out of anybody's file."""

import logging
import re
import sys
from typing import Any, cast

import structlog
from structlog.typing import EventDict, ExcInfo, WrappedLogger

from libs.telemetry import tracing
from libs.telemetry.error_text import formatted

_SECRETS = re.compile(
    r"sk_live_[A-Za-z0-9_\-]+|whsec_[A-Za-z0-9+/=]+|(?<=Bearer )[A-Za-z0-9._\-]+|(?<=://)[^/@\s:]*:[^/@\s]+(?=@)"
)
MASK = "[redacted]"


def mask_secrets(value: object) -> object:
    """``value`` with API keys, webhook secrets, bearer tokens and URL credentials masked, at any depth."""
    if isinstance(value, str):
        return _SECRETS.sub(MASK, value)
    if isinstance(value, dict):
        return {key: mask_secrets(item) for key, item in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [mask_secrets(element) for element in cast("list[Any]", value)]
    return value


def _mask(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {key: mask_secrets(value) for key, value in event.items()}


def _trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    if (now := tracing.current()) is not None:
        event["trace_id"], event["span_id"] = now.trace_id, now.span_id
    return event


def _exception(exc_info: ExcInfo) -> str:
    return formatted(exc_info[1])


def configure_logging(service: str, instance: str, level: str = "INFO") -> None:
    """Send structlog and standard-library logging to standard output as JSON lines.

    Call once, first thing in a process. Every line carries ``service`` and ``instance``, and where there is a
    span its ``trace_id`` and ``span_id``.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _trace,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(_exception),
        _mask,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service, instance=instance)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    # Also in the interest of secrets: as DEBUG, aiokafka logs the bytes by which it logs in.
    for chatty in ("aiokafka", "uvicorn.access", "faststream", "pymongo", "httpx", "httpcore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
