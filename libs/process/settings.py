"""What every service process is told by its environment."""

from pydantic import Field

from libs.messaging.connection import KafkaSettings


class ServiceSettings(KafkaSettings):
    """Read from ``ROWDOCK_…``; where Kafka is, and how to log in there, included.

    Attributes:
        host: on which interface the process serves HTTP.
        ops_port: where the process serves ``/health/live``, ``/health/ready`` and ``/metrics``; keep it from the
            outside.
        instance: name of the process, the same after a restart and unlike that of any other; work that a dead process
            left under its name is taken over at once by its successor.
        log_level: from which level on is logged: ``DEBUG``, ``INFO``, ``WARNING`` or ``ERROR``.
        run_window: batches of one run that are announced to workers at a time, in each lane and state.
        tenant_window: the same, of all runs of one organization.
        whole_window: the same, of everybody.
        rescue_after_seconds: how long work may lie still before it is looked after.
        stall_seconds: a consumer for which messages wait and that receives none for this long ends its process, to be
            started anew.
        loop_watch_ms: for looking at a process: processor time, in milliseconds, after which a busy event loop is
            logged with its stack and counted; 0: off.
    """

    host: str = "127.0.0.1"
    ops_port: int = Field(ge=1, le=65_535)
    instance: str = Field(min_length=1, max_length=100)
    log_level: str = "INFO"
    run_window: int = Field(default=16, ge=1, le=1_000)
    tenant_window: int = Field(default=32, ge=1, le=10_000)
    whole_window: int = Field(default=96, ge=1, le=100_000)
    rescue_after_seconds: float = Field(default=10, gt=0)
    stall_seconds: float = Field(default=60, gt=0)
    loop_watch_ms: float = Field(default=0, ge=0)
