"""The models of the Python client, made from the descriptions of the HTTP interface and of the topics.

``make docs`` writes them, and compares them with ``--check`` (``deploy.documents``). Of the HTTP interface they are
those of the engine only, which is what the client speaks, so that other vocabularies may change without it; of the
topics those that are public.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from datamodel_code_generator import InputFileType, LiteralType, generate
from datamodel_code_generator.enums import DataModelType
from datamodel_code_generator.format import Formatter, PythonVersion

HEADER = '"""Generated from docs/openapi.json by `make docs`: what is sent and answered, under its names there."""'
MESSAGES_HEADER = (
    '"""Generated from docs/asyncapi.yaml by `make docs`: messages of the public topics, under their names."""'
)
PATHS = ("/imports", "/api/v1/admin")
"""Beginnings of the paths that the client asks."""
SCHEMAS = "#/components/schemas/"
NOT_CHECKED = frozenset({
    "pattern", "patternProperties", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems",
    "title", "examples", "additionalProperties",
})  # fmt: skip
"""What only the server checks, so that its bounds may change without a new client."""


def client_models(openapi: Mapping[str, Any]) -> str:
    """The Python module with a pydantic model of every schema that the engine's interface uses.

    Args:
        openapi: the whole document.
    """
    schemas = openapi["components"]["schemas"]
    shapes = {name: _shape(schemas[name]) for name in sorted(_used(openapi))}
    document = {"openapi": openapi["openapi"], "info": openapi["info"], "paths": {}, "components": {"schemas": shapes}}
    return _generated(document, HEADER)


def message_models(asyncapi: Mapping[str, Any], topics: Iterable[str]) -> str:
    """The Python module with a pydantic model of every message of some topics, with the parts of these.

    Args:
        asyncapi: the whole document.
        topics: names of its channels.
    """
    components = asyncapi["components"]
    carried = [components["messages"][f"{topic}:Message"] for topic in topics if topic in asyncapi["channels"]]
    used = _reached(components["schemas"], _references([message["payload"] for message in carried]))
    shapes = {name: _shape(components["schemas"][name]) for name in sorted(used) if ":" not in name}
    # That a schema may be any JSON value OpenAPI has no word for but an empty one, which generators leave out.
    document = {"openapi": "3.1.0", "info": asyncapi["info"], "paths": {}, "components": {"schemas": shapes}}
    return _generated(document, MESSAGES_HEADER)


def _generated(document: Mapping[str, Any], header: str) -> str:
    with TemporaryDirectory() as directory:
        written = Path(directory) / "models.py"
        generate(
            json.dumps(document),
            input_file_type=InputFileType.OpenAPI,
            output=written,
            output_model_type=DataModelType.PydanticV2BaseModel,
            base_class="rowdock_client.shape.Shape",
            target_python_version=PythonVersion.PY_311,
            enum_field_as_literal=LiteralType.All,
            use_standard_collections=True,
            use_union_operator=True,
            use_schema_description=True,
            use_double_quotes=True,
            strict_nullable=True,
            collapse_root_models=True,
            keep_model_order=True,
            disable_timestamp=True,
            custom_file_header=header,
            formatters=[Formatter.RUFF_CHECK, Formatter.RUFF_FORMAT],
            settings_path=Path(__file__).resolve().parents[1] / "pyproject.toml",
        )
        return written.read_text(encoding="utf-8")


def _used(openapi: Mapping[str, Any]) -> set[str]:
    """Names of the schemas that the paths of the client lead to."""
    named = (
        name
        for path, operations in openapi["paths"].items()
        if path.startswith(PATHS)
        for operation in operations.values()
        for name in _references([operation.get("requestBody"), operation["responses"]])
    )
    return _reached(openapi["components"]["schemas"], named)


def _reached(schemas: Mapping[str, Any], named: Iterable[str]) -> set[str]:
    """Names of the schemas that some lead to, themselves included."""
    used: set[str] = set()
    waiting = list(named)
    while waiting:
        if (name := waiting.pop()) not in used:
            used.add(name)
            waiting += _references(schemas[name])
    return used


def _references(node: object) -> Iterator[str]:
    match node:
        case {"$ref": str(reference)}:
            if reference.startswith(SCHEMAS):
                yield reference.removeprefix(SCHEMAS)
        case dict():
            for value in node.values():
                yield from _references(value)
        case list():
            for value in node:
                yield from _references(value)
        case _:
            return


def _shape(node: Any, *, names: bool = False) -> Any:  # noqa: ANN401 - any part of a schema
    """The schema without what only the server checks; whole numbers stay whole where any number may be.

    Args:
        node: part of a schema.
        names: whether its keys are names of members, which are all kept.
    """
    if isinstance(node, dict):
        return {
            key: _shape(value, names=key == "properties" and not names)
            for key, value in node.items()
            if names or key not in NOT_CHECKED or (key == "additionalProperties" and value is not False)
        }
    if isinstance(node, list):
        return [*(["integer"] if "number" in node else []), *(_shape(value) for value in node)]
    return node
