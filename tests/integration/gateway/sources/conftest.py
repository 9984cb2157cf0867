"""An organization with a folder of its own."""

import pytest

from libs.ledger import Ledger
from libs.storage.client import Mongo
from tests.integration.gateway.conftest import Organization
from tests.integration.gateway.sources.world import World


@pytest.fixture
def world(acme: Organization, ledger: Ledger, mongo: Mongo) -> World:
    return World(acme, ledger, mongo)
