"""What handlers of every vocabulary ask for: who asks, and the capabilities.

Who asks is judged here for every route, by ``services.gateway.access.reach``, whose docstring says which of the three a
new route takes.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Annotated, Any, Final

from litestar import Request
from litestar.di import NamedDependency, Provide
from litestar.params import QueryParameter, SkipValidation

from services.gateway.access.principal import Principal
from services.gateway.access.reach import OWNED, Reach
from services.gateway.http.tracing import trace_of
from services.gateway.records.rejected import RejectedRows
from services.gateway.records.retries import Retries
from services.gateway.records.rows import RowOutcomes
from services.gateway.runs.dry_runs import DryRuns
from services.gateway.runs.previews import Previews
from services.gateway.runs.runs import Runs
from services.gateway.settings import GatewaySettings
from services.gateway.templates.catalog import TemplateCatalog
from services.gateway.templates.judging import TemplateJudge
from services.gateway.uploads.uploads import Uploads


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the gateway can do; each is a dependency of that name."""

    reach: Reach
    settings: GatewaySettings
    judge: TemplateJudge
    catalog: TemplateCatalog
    uploads: Uploads
    runs: Runs
    dry_runs: DryRuns
    previews: Previews
    rejected_rows: RejectedRows
    row_outcomes: RowOutcomes
    retries: Retries


AnyRequest = Request[Any, Any, Any]
Asking = NamedDependency[SkipValidation[Principal]]
"""As ``principal``: whoever asks, acting for the organization that has what the path names."""
AskingFor = NamedDependency[SkipValidation[Principal]]
"""As ``acting``: … acting for the organization that the query names."""
AskingForMany = NamedDependency[SkipValidation[Principal]]
"""As ``looking``: … and seeing, where the query says so, what those below have too."""
WHO_ASKS: Final = ("principal", "acting", "looking")
"""Names of these dependencies; every route has one of them."""
ForTenant = Annotated[
    str | None,
    QueryParameter(
        min_length=1, max_length=100, description="An organization below your own, to act for it instead of your own."
    ),
]
IncludeChildren = Annotated[
    bool, QueryParameter(description="Whether what the organizations below have is listed too.")
]
Settings = NamedDependency[SkipValidation[GatewaySettings]]
Judge = NamedDependency[SkipValidation[TemplateJudge]]
Catalog = NamedDependency[SkipValidation[TemplateCatalog]]
UploadsIn = NamedDependency[SkipValidation[Uploads]]
RunsIn = NamedDependency[SkipValidation[Runs]]
DryRunsIn = NamedDependency[SkipValidation[DryRuns]]
PreviewsIn = NamedDependency[SkipValidation[Previews]]
RejectedIn = NamedDependency[SkipValidation[RejectedRows]]
RowsIn = NamedDependency[SkipValidation[RowOutcomes]]
RetriesIn = NamedDependency[SkipValidation[Retries]]


def dependencies(capabilities: Callable[[AnyRequest], Capabilities]) -> dict[str, Provide]:
    """What handlers are given by name: those of ``WHO_ASKS`` and every capability."""

    async def principal(request: AnyRequest) -> Principal:
        caller: Principal = request.auth
        for parameter in OWNED:
            identifier = request.path_params.get(parameter)
            if identifier is None and parameter == "run_id":
                identifier = request.query_params.get(parameter)
            if identifier is not None:
                reach = capabilities(request).reach
                return _traced(request, await reach.acting_for_owner(caller, parameter, identifier))
        return caller

    async def acting(request: AnyRequest, tenant_id: ForTenant = None) -> Principal:
        caller: Principal = request.auth
        if tenant_id is None:
            return caller
        return _traced(request, await capabilities(request).reach.acting_for(caller, tenant_id))

    async def looking(
        request: AnyRequest, tenant_id: ForTenant = None, *, include_children: IncludeChildren = False
    ) -> Principal:
        principal = await acting(request, tenant_id)
        return await capabilities(request).reach.with_children(principal) if include_children else principal

    def capability(name: str) -> Provide:
        def provided(request: AnyRequest) -> Any:  # noqa: ANN401 - whichever it is
            return getattr(capabilities(request), name)

        return Provide(provided, sync_to_thread=False)

    return {
        "principal": Provide(principal),
        "acting": Provide(acting),
        "looking": Provide(looking),
        **{field.name: capability(field.name) for field in fields(Capabilities)},
    }


def _traced(request: AnyRequest, principal: Principal) -> Principal:
    trace_of(request.scope).principal = principal
    return principal
