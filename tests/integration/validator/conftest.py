"""A ledger on the databases of the test."""

import pytest

from libs.storage.client import Mongo
from libs.storage.ledger import Ledger


@pytest.fixture
def ledger(mongo: Mongo) -> Ledger:
    return Ledger(mongo, "validator", lambda: None)
