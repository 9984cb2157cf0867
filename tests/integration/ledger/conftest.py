"""A ledger on the databases of the test."""

import pytest

from libs.ledger import Ledger
from libs.storage.client import Mongo


@pytest.fixture
def ledger(mongo: Mongo) -> Ledger:
    return Ledger(mongo, "test")
