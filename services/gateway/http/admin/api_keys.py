"""``/api/v1/api-keys``."""

import asyncio
from http import HTTPStatus

from litestar import Controller, Response, delete, get, post

from services.gateway.access.api_keys import MadeKey
from services.gateway.access.principal import Scope
from services.gateway.http.admin.key_views import (
    ApiKeyPage,
    ApiKeyView,
    NewApiKeyView,
    NewKeyOperation,
    RotationOperation,
    present_key,
    present_keys,
    present_new_key,
    read_new_key,
    read_rotation,
)
from services.gateway.http.answers import encoded, encoded_answer
from services.gateway.http.authentication import NEEDED_SCOPE
from services.gateway.http.dependencies import AnyRequest, ApiKeysIn, Asking, EffectId, PlanRatesIn
from services.gateway.http.etags import TAGGED, Tagged, encoded_tagged, version_tag, wanted_versions
from services.gateway.http.idempotency import IDEMPOTENT, Reads
from services.gateway.http.json_body import json_body
from services.gateway.http.openapi import ApiOperation
from services.gateway.http.page_parameters import After, Id, Limit
from services.gateway.http.places import Places

_PLACES = Places("body")


class ApiKeyController(Controller):
    """API keys of the caller's own organization, for keys with the scope ``admin``."""

    path = "/api/v1/api-keys"
    tags = ("API keys",)
    opt = {NEEDED_SCOPE: Scope.ADMIN}  # noqa: RUF012 - as Litestar declares it

    @post(
        "/",
        operation_id="createApiKey",
        summary="Create an API key",
        description="The key is in this answer only. It cannot be allowed more than the key that asks for it.",
        opt={IDEMPOTENT: Reads.CONTENT, TAGGED: Tagged.NEW},
        operation_class=NewKeyOperation,
    )
    async def create(
        self, request: AnyRequest, principal: Asking, api_keys: ApiKeysIn, plans: PlanRatesIn, effect_id: EffectId
    ) -> Response[NewApiKeyView]:
        body = await json_body(request)
        wanted = await asyncio.to_thread(lambda: read_new_key(body.decoded()))
        with _PLACES.translating():
            made = await api_keys.add(principal, wanted, plans, effect_id)
        return _created(made)

    @get("/", operation_id="listApiKeys", summary="List API keys", operation_class=ApiOperation)
    async def page(
        self, principal: Asking, api_keys: ApiKeysIn, limit: Limit = 20, after: After = None
    ) -> Response[ApiKeyPage]:
        found, more = await api_keys.page(principal, limit, after)
        return encoded_answer(encoded(present_keys(found, more=more)))

    @get(
        "/{key_id:str}",
        operation_id="getApiKey",
        summary="Show an API key",
        opt={TAGGED: Tagged.THERE},
        operation_class=ApiOperation,
    )
    async def show(
        self, request: AnyRequest, key_id: Id, principal: Asking, api_keys: ApiKeysIn
    ) -> Response[ApiKeyView]:
        found = await api_keys.get(principal, key_id)
        return encoded_tagged(request, found.version, encoded(present_key(found)))

    @post(
        "/{key_id:str}/rotate",
        operation_id="rotateApiKey",
        summary="Replace an API key by a new one",
        description="The new key may do the same. The old one works on for `overlap_seconds`, a day unless told "
        "otherwise; 409 where it does not work any more.",
        opt={IDEMPOTENT: Reads.CONTENT, TAGGED: Tagged.THERE},
        operation_class=RotationOperation,
    )
    async def rotate(
        self, request: AnyRequest, key_id: Id, principal: Asking, api_keys: ApiKeysIn, effect_id: EffectId
    ) -> Response[NewApiKeyView]:
        versions, body = wanted_versions(request), await json_body(request)
        overlap = await asyncio.to_thread(lambda: read_rotation(body.decoded() if body.content else {}))
        with _PLACES.translating():
            made = await api_keys.rotate(principal, key_id, overlap, effect_id, versions)
        return _created(made)

    @delete(
        "/{key_id:str}",
        operation_id="revokeApiKey",
        summary="Revoke an API key",
        description="It opens nothing from this answer on. It stays in the list, and stays revoked.",
        opt={TAGGED: Tagged.THERE},
        operation_class=ApiOperation,
        status_code=HTTPStatus.OK,
    )
    async def revoke(
        self, request: AnyRequest, key_id: Id, principal: Asking, api_keys: ApiKeysIn
    ) -> Response[ApiKeyView]:
        revoked = await api_keys.revoke(principal, key_id, wanted_versions(request))
        return encoded_tagged(request, revoked.version, encoded(present_key(revoked)))


def _created(made: MadeKey) -> Response[NewApiKeyView]:
    view = present_new_key(made)
    headers = {"Location": f"{ApiKeyController.path}/{view.id}", **version_tag(made.stored.version)}
    return encoded_answer(encoded(view), HTTPStatus.CREATED, headers)
