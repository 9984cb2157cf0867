"""Pictures of the dashboards show what the dashboards show."""

import pytest
from PIL import Image

from deploy.monitoring.evaluation import digests
from deploy.monitoring.pictures import DIGEST, IMAGES

MOST_BYTES = 250_000


@pytest.mark.parametrize("uid", digests())
def test_a_picture_was_drawn_of_the_present_dashboard(uid: str) -> None:
    file = IMAGES / f"{uid}.png"
    with Image.open(file) as picture:
        assert picture.info[DIGEST] == digests()[uid], "the dashboard has changed since: make pictures"
    assert file.stat().st_size <= MOST_BYTES


def test_there_is_no_picture_of_what_is_gone() -> None:
    assert {file.stem for file in IMAGES.glob("rowdock-*.png")} == set(digests())
