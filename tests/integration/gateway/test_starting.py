"""Imports that nobody uploads: as an upload in every respect, once for each key."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, cast

import pytest
from litestar import Litestar

from libs.ledger import Ledger
from libs.storage.client import Mongo
from libs.storage.settings import MongoSettings
from services.gateway.access.principal import Principal
from services.gateway.errors import InvalidInputError, LimitError, NotFoundError, UnsupportedFileError
from services.gateway.stores.templates import TemplateName
from services.gateway.uploads.starting import ImportStart, start_import, start_key, started
from services.gateway.uploads.uploads import Submitted, Uploads
from tests.integration.gateway.conftest import MAX_UPLOAD_BYTES, Organization, living, new_app
from tests.integration.gateway.families import NewOrganization, family
from tests.integration.gateway.steps import CSV, create_importer, create_template
from tests.integration.gateway.test_uploads import assert_no_files

pytestmark = pytest.mark.servers

KEY = start_key("test", "one")


async def bytes_of(content: bytes) -> AsyncIterator[bytes]:
    yield content


def uploads_of(app: Litestar) -> Uploads:
    return app.state.gateway.capabilities.uploads


async def start(
    app: Litestar,
    organization: Organization,
    template: TemplateName,
    content: bytes = CSV,
    key: str = KEY,
    **more: object,
) -> Submitted:
    principal = Principal(organization.id, "test:starter", "")
    wanted = replace(ImportStart(template, "rows.csv"), **cast("dict[str, Any]", more))
    return await start_import(
        uploads_of(app), principal, wanted, bytes_of(content), key=key, max_bytes=MAX_UPLOAD_BYTES
    )


async def test_it_is_an_upload_that_goes_on_by_itself(app: Litestar, acme: Organization, ledger: Ledger) -> None:
    template = await create_template(acme.http)
    made = await start(app, acme, TemplateName(template["id"]), metadata='{"a": 1}')
    run = await ledger.runs.get(made.run.id)
    assert run is not None
    assert (run.goes_on, run.file.name, run.metadata, run.file.size) == (True, "rows.csv", '{"a": 1}', len(CSV))
    assert run.started_by is not None
    assert run.started_by.subject == "test:starter"
    shown = (await acme.http.get(f"/imports/runs/{run.id}")).json()
    assert shown["status"] == "pending"

    waiting = await start(app, acme, TemplateName(template["id"]), key=start_key("test", "two"), goes_on=False)
    assert not waiting.run.goes_on


async def test_a_key_starts_one_run(app: Litestar, acme: Organization, mongo: Mongo) -> None:
    template = TemplateName((await create_template(acme.http))["id"])
    principal = Principal(acme.id, "test:starter", "")
    assert await started(principal, KEY) is None
    first = await start(app, acme, template)
    assert await started(principal, KEY) == first.run.id
    again = await start(app, acme, template)
    assert (again.run.id, again.replayed) == (first.run.id, True)
    with pytest.raises(InvalidInputError) as refused:
        await start(app, acme, template, CSV + b"x,y\n")
    assert refused.value.code == "IDEMPOTENCY_KEY_REUSED"
    await mongo.state["runs"].update_one({"_id": first.run.id}, {"$set": {"status": "failed"}})
    with pytest.raises(InvalidInputError):
        await start(app, acme, template, CSV + b"x,y\n")
    assert await mongo.state["files.files"].count_documents({"metadata.tenant_id": acme.id}) == 1


async def test_templates_of_any_vocabulary_by_id_or_key(
    app: Litestar, mongo: Mongo, new_organization: NewOrganization
) -> None:
    made = await family(mongo, new_organization)
    shared = await create_template(made.parent.http, shared_with_children=True)
    await create_importer(made.child.http)
    stored = await mongo.state["templates"].find_one({"tenant_id": made.child.id, "vocabulary": "importers"})
    assert stored is not None
    by_key = await start(app, made.child, TemplateName(stored["key"], is_key=True))
    assert by_key.run.template_id == stored["_id"]
    from_above = await start(app, made.child, TemplateName(shared["id"]), key=start_key("test", "two"))
    assert (from_above.run.template_id, from_above.run.tenant_id) == (shared["id"], made.child.id)
    for other in (TemplateName(stored["key"], is_key=True), TemplateName(stored["_id"])):
        with pytest.raises(NotFoundError):
            await start(app, made.sibling, other)
    with pytest.raises(NotFoundError):
        await start(app, made.child, TemplateName(stored["_id"], is_key=True))


@pytest.mark.usefixtures("rebound")
async def test_what_is_refused_leaves_nothing(app: Litestar, acme: Organization, mongo: Mongo) -> None:
    template = TemplateName((await create_template(acme.http))["id"])
    with pytest.raises(UnsupportedFileError):
        await start(app, acme, template, b"%PDF-1.4 ...")
    with pytest.raises(InvalidInputError):
        await start(app, acme, template, columns={"sku": "nowhere"})

    async def breaks() -> AsyncIterator[bytes]:
        yield CSV
        raise OSError("the connection was cut")

    principal = Principal(acme.id, "test:starter", "")
    wanted = ImportStart(template, "rows.csv")
    with pytest.raises(OSError, match="cut"):
        await start_import(uploads_of(app), principal, wanted, breaks(), key=KEY, max_bytes=MAX_UPLOAD_BYTES)
    await assert_no_files(mongo, acme)


@pytest.mark.usefixtures("rebound")
async def test_quotas_hold(mongo_settings: MongoSettings, acme: Organization) -> None:
    template = TemplateName((await create_template(acme.http))["id"])
    small = new_app(mongo_settings, max_active_runs=1)
    async with living(small):
        first = await start(small, acme, template)
        with pytest.raises(LimitError):
            await start(small, acme, template, key=start_key("test", "two"))
        again = await start(small, acme, template)
        assert again.run.id == first.run.id, "what was started is started, whatever the quotas"
