"""Templates in the engine's vocabulary as requests carry them, and what comes of reading one."""

from typing import Any

import pytest

from services.gateway.errors import InvalidTemplateError
from services.gateway.http.engine.template_reading import read_template as read_by
from services.gateway.http.template_reading import TemplateRequest
from services.gateway.templates.judging import TemplateJudge

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def read_template(body: object) -> TemplateRequest:
    return read_by(body, TemplateJudge())


def template(**changes: object) -> dict[str, Any]:
    body: dict[str, Any] = {
        "name": "products",
        "target_resource": "products",
        "field_mapping": [{"source": "SKU", "target": "sku", "required": True}],
    }
    return {key: value for key, value in {**body, **changes}.items() if value is not ...}


def with_field(**changes: object) -> dict[str, Any]:
    return template(field_mapping=[{"source": "SKU", "target": "sku", **changes}])


def problems(body: object) -> dict[str, str]:
    with pytest.raises(InvalidTemplateError) as caught:
        read_template(body)
    assert len({problem.location for problem in caught.value.problems}) >= 1
    return {problem.location: problem.code for problem in caught.value.problems}
