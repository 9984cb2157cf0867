"""The one table of topics."""

import re

from libs.contracts import topics
from libs.contracts.topics import DAY_MS, DEAD_LETTERS, RUN_EVENTS, TOPICS, Topic


def test_the_table_holds_every_topic_once() -> None:
    defined = [value for value in vars(topics).values() if isinstance(value, Topic)]
    assert set(TOPICS) == set(defined)
    assert len({topic.name for topic in TOPICS}) == len(TOPICS)


def test_every_topic_is_versioned_and_described() -> None:
    for topic in TOPICS:
        assert re.fullmatch(r"[a-z]+(\.[a-z-]+)+\.v\d+", topic.name)
        assert topic.description.endswith(".")
        assert topic.partitions >= 1
        assert topic.retention_ms >= 7 * DAY_MS


def test_what_others_rely_on_is_public() -> None:
    assert RUN_EVENTS.public
    assert DEAD_LETTERS.public
