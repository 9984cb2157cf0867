"""``/api/v1/organization/branding``."""

from litestar import Controller, Response, get, put

from services.gateway.http.answers import encoded, encoded_answer
from services.gateway.http.dependencies import AnyRequest, AskingFor, BrandingIn, Judge
from services.gateway.http.etags import TAGGED, Tagged, encoded_tagged, version_tag, wanted_versions
from services.gateway.http.json_body import json_body
from services.gateway.http.rowporter.branding_models import (
    PLACES,
    BrandingSaved,
    BrandingView,
    present_branding,
    read_branding,
)
from services.gateway.http.rowporter.operations import BrandingChangeOperation, BrandingOperation


class BrandingController(Controller):
    """How an organization's importers look."""

    path = "/api/v1/organization/branding"
    tags = ("Branding",)

    @get(
        "/",
        operation_id="getBranding",
        summary="Get the branding of the organization",
        description="Every setting, also those that were never changed. In a plan without full branding only "
        "`primaryColor`, `secondaryColor` and `logoUrl` are the organization's own.",
        opt={TAGGED: Tagged.THERE},
        operation_class=BrandingOperation,
    )
    async def show(self, request: AnyRequest, acting: AskingFor, branding: BrandingIn) -> Response[BrandingView]:
        found, version = await branding.get(acting)
        return encoded_tagged(request, version, encoded(present_branding(found)))

    @put(
        "/",
        operation_id="updateBranding",
        summary="Change the branding of the organization",
        description="Only what is sent is changed. 403 `PLAN_RESTRICTED` where the plan of the organization is too "
        "small: in the Free plan only `primaryColor`, `secondaryColor` and `logoUrl` can be changed. A value that is "
        "the case already needs no plan.",
        opt={TAGGED: Tagged.THERE},
        operation_class=BrandingChangeOperation,
    )
    async def change(
        self, request: AnyRequest, acting: AskingFor, branding: BrandingIn, judge: Judge
    ) -> Response[BrandingSaved]:
        versions, body = wanted_versions(request), await json_body(request)
        wanted = await judge.turns.run(acting, lambda: read_branding(body.decoded()))
        with PLACES.translating():
            version = await branding.change(acting, wanted, versions)
        return encoded_answer(encoded(BrandingSaved()), headers=version_tag(version))
