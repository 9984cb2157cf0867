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

from services.gateway.access.api_keys import ApiKeys
from services.gateway.access.plans import PlanRates
from services.gateway.access.principal import Principal
from services.gateway.access.producers import Producers
from services.gateway.access.reach import OWNED, Reach
from services.gateway.branding.branding import OrganizationBranding
from services.gateway.dead_letters.office import DeadLetterOffice
from services.gateway.http.answers import RememberedAnswers
from services.gateway.http.idempotency import attempt_of
from services.gateway.http.public_ids import model_id
from services.gateway.http.tracing import trace_of
from services.gateway.records.bulk_corrections import BulkCorrections
from services.gateway.records.correction_files import CorrectionFiles
from services.gateway.records.records import Records
from services.gateway.records.records_of_runs import RecordsOfRuns
from services.gateway.records.rejected import RejectedRows
from services.gateway.records.retries import Retries
from services.gateway.records.rows import RowOutcomes
from services.gateway.runs.dry_runs import DryRuns
from services.gateway.runs.previews import Previews
from services.gateway.runs.runs import Runs
from services.gateway.runs.watching import RunWatches
from services.gateway.settings import GatewaySettings
from services.gateway.sources.registered import Sources
from services.gateway.status.overview import InstallationStatus
from services.gateway.templates.catalog import TemplateCatalog
from services.gateway.templates.judging import TemplateJudge
from services.gateway.uploads.uploads import Uploads
from services.gateway.webhooks.registered import RegisteredEndpoints


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the gateway can do; each is a dependency of that name."""

    reach: Reach
    plans: PlanRates
    api_keys: ApiKeys
    producers: Producers
    settings: GatewaySettings
    judge: TemplateJudge
    catalog: TemplateCatalog
    uploads: Uploads
    runs: Runs
    dry_runs: DryRuns
    previews: Previews
    rejected_rows: RejectedRows
    row_outcomes: RowOutcomes
    records: Records
    records_of_runs: RecordsOfRuns
    retries: Retries
    branding: OrganizationBranding
    correction_files: CorrectionFiles
    bulk_corrections: BulkCorrections
    watches: RunWatches
    remembered: RememberedAnswers
    webhooks: RegisteredEndpoints
    dead_letters: DeadLetterOffice
    installation: InstallationStatus
    sources: Sources


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
EffectId = NamedDependency[SkipValidation[str | None]]
"""As ``effect_id``: the id for what a request with an ``Idempotency-Key`` creates, ``None`` without one."""
ReachIn = NamedDependency[SkipValidation[Reach]]
Settings = NamedDependency[SkipValidation[GatewaySettings]]
PlanRatesIn = NamedDependency[SkipValidation[PlanRates]]
ApiKeysIn = NamedDependency[SkipValidation[ApiKeys]]
ProducersIn = NamedDependency[SkipValidation[Producers]]
Judge = NamedDependency[SkipValidation[TemplateJudge]]
Catalog = NamedDependency[SkipValidation[TemplateCatalog]]
UploadsIn = NamedDependency[SkipValidation[Uploads]]
RunsIn = NamedDependency[SkipValidation[Runs]]
DryRunsIn = NamedDependency[SkipValidation[DryRuns]]
PreviewsIn = NamedDependency[SkipValidation[Previews]]
RejectedIn = NamedDependency[SkipValidation[RejectedRows]]
RecordsIn = NamedDependency[SkipValidation[Records]]
RecordsOfRunsIn = NamedDependency[SkipValidation[RecordsOfRuns]]
RowsIn = NamedDependency[SkipValidation[RowOutcomes]]
BrandingIn = NamedDependency[SkipValidation[OrganizationBranding]]
RetriesIn = NamedDependency[SkipValidation[Retries]]
CorrectionFilesIn = NamedDependency[SkipValidation[CorrectionFiles]]
RememberedIn = NamedDependency[SkipValidation[RememberedAnswers]]
WatchesIn = NamedDependency[SkipValidation[RunWatches]]
WebhooksIn = NamedDependency[SkipValidation[RegisteredEndpoints]]
InstallationIn = NamedDependency[SkipValidation[InstallationStatus]]
DeadLettersIn = NamedDependency[SkipValidation[DeadLetterOffice]]
SourcesIn = NamedDependency[SkipValidation[Sources]]
BulkCorrectionsIn = NamedDependency[SkipValidation[BulkCorrections]]


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
                return _traced(request, await reach.acting_for_owner(caller, parameter, model_id(identifier)))
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
        "effect_id": Provide(_effect_id, sync_to_thread=False),
        **{field.name: capability(field.name) for field in fields(Capabilities)},
    }


def _effect_id(request: AnyRequest) -> str | None:
    attempt = attempt_of(request)
    return None if attempt is None else attempt.effect_id


def _traced(request: AnyRequest, principal: Principal) -> Principal:
    trace_of(request.scope).principal = principal
    return principal
