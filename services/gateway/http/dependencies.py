"""What handlers of every vocabulary ask for: who asks, and the capabilities."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from litestar import Request
from litestar.di import NamedDependency, Provide
from litestar.params import SkipValidation

from services.gateway.access.principal import Principal
from services.gateway.records.rejected import RejectedRows
from services.gateway.runs.dry_runs import DryRuns
from services.gateway.runs.runs import Runs
from services.gateway.settings import GatewaySettings
from services.gateway.templates.catalog import TemplateCatalog
from services.gateway.templates.judging import TemplateJudge
from services.gateway.uploads.uploads import Uploads


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the gateway can do; each is a dependency of that name."""

    settings: GatewaySettings
    judge: TemplateJudge
    catalog: TemplateCatalog
    uploads: Uploads
    runs: Runs
    dry_runs: DryRuns
    rejected_rows: RejectedRows


AnyRequest = Request[Any, Any, Any]
Asking = NamedDependency[SkipValidation[Principal]]
Settings = NamedDependency[SkipValidation[GatewaySettings]]
Judge = NamedDependency[SkipValidation[TemplateJudge]]
Catalog = NamedDependency[SkipValidation[TemplateCatalog]]
UploadsIn = NamedDependency[SkipValidation[Uploads]]
RunsIn = NamedDependency[SkipValidation[Runs]]
DryRunsIn = NamedDependency[SkipValidation[DryRuns]]
RejectedIn = NamedDependency[SkipValidation[RejectedRows]]


def dependencies(capabilities: Callable[[AnyRequest], Capabilities]) -> dict[str, Provide]:
    """What handlers are given by name: ``principal`` and every capability."""

    def principal(request: AnyRequest) -> Principal:
        return request.auth

    def capability(name: str) -> Provide:
        def provided(request: AnyRequest) -> Any:  # noqa: ANN401 - whichever it is
            return getattr(capabilities(request), name)

        return Provide(provided, sync_to_thread=False)

    return {
        "principal": Provide(principal, sync_to_thread=False),
        **{field.name: capability(field.name) for field in fields(Capabilities)},
    }
