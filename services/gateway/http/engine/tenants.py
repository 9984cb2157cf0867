"""``/imports/tenants``: the organizations that a key may act for."""

from typing import Annotated

from litestar import Controller, get
from litestar.params import QueryParameter
from pydantic import BaseModel

from services.gateway.http.dependencies import AskingForMany, ReachIn, WebhooksIn
from services.gateway.http.openapi import ApiOperation
from services.gateway.http.page_parameters import MAX_PAGE, Limit

AfterTenant = Annotated[str, QueryParameter(max_length=100, description="The next_after of the page before.")]


class TenantView(BaseModel):
    """An organization: its ``id`` is the ``tenant_id`` of lists and the ``target_tenant_id`` of uploads.

    ``parent_id`` is the one above it; null for the organization that is asked about, whatever is above that.
    ``disabled_webhook_endpoints`` are those to which Rowdock sends nothing any more, because they failed for days or
    asked for it.
    """

    id: str
    name: str
    parent_id: str | None
    disabled_webhook_endpoints: int


class TenantPage(BaseModel):
    """By id; ``next_after`` is the ``after`` of the next page, null on the last."""

    data: list[TenantView]
    next_after: str | None


class TenantController(Controller):
    """Organizations."""

    path = "/imports/tenants"
    tags = ("Organizations",)

    @get(
        "/",
        operation_id="listTenants",
        summary="List your organization, and those below it",
        description="The organization of the key, or the one of `tenant_id`; with `include_children` everything below "
        "it too, as in every other list.",
        operation_class=ApiOperation,
    )
    async def page(
        self,
        looking: AskingForMany,
        reach: ReachIn,
        webhooks: WebhooksIn,
        limit: Limit = MAX_PAGE,
        after: AfterTenant = "",
    ) -> TenantPage:
        found, more = await reach.organizations(looking, limit, after)
        given_up = await webhooks.given_up(looking)
        data = [
            TenantView(
                id=each.id,
                name=each.name,
                parent_id=each.parent_id,
                disabled_webhook_endpoints=given_up.get(each.id, 0),
            )
            for each in found
        ]
        return TenantPage(data=data, next_after=data[-1].id if more else None)
