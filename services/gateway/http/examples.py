"""Examples of what is sent and answered, for the OpenAPI document."""

import json
from pathlib import Path

from services.gateway.http.request_shape import Json

_FILE = Path(__file__).parent / "examples.json"


def common_examples() -> Json:
    """Examples by the name of their model, and of forms by the id of their operation: what a gateway has answered, but
    for keys."""
    return json.loads(_FILE.read_text(encoding="utf-8"))
