"""The configuration reference ``docs/configuration.md``, made from the settings classes by ``make docs``.

What a setting means is said in the docstring of its class, under ``Attributes``.
"""

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import AliasChoices, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from libs.process.settings import ServiceSettings
from libs.storage.settings import MongoSettings
from services.gateway.access.organizations import TreeSettings
from services.gateway.requests.settings import RequestSettings
from services.gateway.settings import GatewaySettings
from services.parser.formats.excel.settings import ExcelSettings
from services.parser.settings import ParserSettings
from services.validator.settings import ValidatorSettings
from services.webhooks.settings import WebhookSettings
from services.writer.settings import WriterSettings

COMMON: Sequence[type[BaseSettings]] = (ServiceSettings, MongoSettings)
"""What every service reads."""
OF_SERVICES: Mapping[str, Sequence[type[BaseSettings]]] = {
    "gateway": (GatewaySettings,),
    "parser": (ParserSettings, ExcelSettings),
    "validator": (ValidatorSettings,),
    "writer": (WriterSettings,),
    "webhooks": (WebhookSettings,),
    "requests": (RequestSettings,),
}
"""What each reads beyond that."""
OF_COMMANDS: Mapping[str, Sequence[type[BaseSettings]]] = {"bootstrap, place_organization": (TreeSettings,)}

_ENTRY = re.compile(r"^    (\w+(?:, \w+)*): (.*)$")
_SIZES = ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB"))
_INTRODUCTION = """\
# Configuration

Generated from the settings classes by `make docs`. Every process reads its environment once, when it starts, and ends
with a message that names the variable where one is missing or cannot be used. A variable that no service knows is
passed over. Those marked **secret** are never logged; pass them as secrets.

"""


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable of the environment.

    Attributes:
        kind: what may stand in it, for a person.
        default: ``None`` where it is required.
    """

    variable: str
    kind: str
    default: str | None
    meaning: str


def settings_of(model: type[BaseSettings], *, own_only: bool = False) -> Iterator[Setting]:
    """The settings of a class, in their order.

    Raises:
        LookupError: one has no meaning in the docstring.
    """
    meanings = _meanings(model)
    for name, field in model.model_fields.items():
        if own_only and name not in model.__annotations__:
            continue
        if not meanings.get(name):
            raise LookupError(f"{model.__name__}.{name}: say in the docstring, under Attributes, what it means")
        default = _default(name, field) if not field.is_required() else None
        yield Setting(variable_of(model, name, field), _kind(field), default, meanings[name])


def variable_of(model: type[BaseSettings], name: str, field: FieldInfo) -> str:
    """Under which name a setting is read; of several the present one."""
    alias = field.validation_alias
    prefix = model.model_config.get("env_prefix", "")
    return str(alias.choices[0] if isinstance(alias, AliasChoices) else alias or f"{prefix}{name.upper()}")


def variables_of(service: str) -> dict[str, Setting]:
    """Everything that a service reads, by the name of the variable."""
    return {each.variable: each for model in (*COMMON, *OF_SERVICES[service]) for each in settings_of(model)}


def configuration_document() -> str:
    """The whole page, as Markdown."""
    parts = [_INTRODUCTION, "## Every service\n\n", *(_table(COMMON))]
    for service, models in OF_SERVICES.items():
        parts += [f"\n## {service.capitalize()}\n\n", *_table(models)]
    for commands, models in OF_COMMANDS.items():
        names = " and ".join(f"`python -m services.gateway.{name}`" for name in commands.split(", "))
        parts += [f"\n## Commands\n\nOf {names}:\n\n", *_table(models)]
    return "".join(parts)


def _table(models: Sequence[type[BaseSettings]]) -> Iterator[str]:
    yield "| variable | type | default | meaning |\n|---|---|---|---|\n"
    for model in models:
        for each in settings_of(model):
            default = "**required**" if each.default is None else each.default
            yield f"| `{each.variable}` | {each.kind} | {default} | {each.meaning} |\n"


def _meanings(model: type[BaseSettings]) -> dict[str, str]:
    """What the docstrings of a class and of those above it say, by the name of the setting, as Markdown."""
    found: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if issubclass(each, BaseSettings) and each is not BaseSettings:
            found |= _said(inspect.cleandoc(each.__doc__ or ""))
    return {name: text.replace("``", "`").replace("|", "\\|") for name, text in found.items()}


def _said(docstring: str) -> Iterator[tuple[str, str]]:
    _, _, attributes = docstring.partition("Attributes:\n")
    names: list[str] = []
    text = ""
    for line in [*attributes.splitlines(), "    end: "]:
        if entry := _ENTRY.match(line):
            for name in names:
                yield name, text
            names, text = entry.group(1).split(", "), entry.group(2).strip()
        else:
            text = f"{text} {line.strip()}".strip()


def _kind(field: FieldInfo) -> str:
    bounds = [_bound(each) for each in field.metadata]
    return ", ".join([_named(field.annotation), *filter(None, bounds)])


def _bound(constraint: object) -> str:
    match constraint:
        case Ge(ge=least):
            return f"at least {_number(least)}"
        case Gt(gt=least):
            return f"above {_number(least)}"
        case Le(le=most):
            return f"at most {_number(most)}"
        case Lt(lt=most):
            return f"below {_number(most)}"
        case _:
            return ""


def _named(kind: Any) -> str:  # noqa: ANN401 - any annotation
    """What a person calls a type."""
    arguments = get_args(kind)
    match get_origin(kind):
        case origin if origin is Annotated:
            return _named(arguments[0])
        case origin if origin is Union or origin is UnionType:
            return " or ".join(dict.fromkeys(_named(each) for each in arguments if each is not NoneType))
        case origin if origin is Literal:
            return ", ".join(f"`{each}`" for each in arguments)
        case origin if origin is tuple:
            return f"{_named(arguments[0])}, several separated by commas"
        case None:
            pass
        case _:
            return "list, separated by commas"
    if kind is SecretStr:
        return "**secret**"
    simple: dict[object, str] = {
        int: "whole number", float: "number", str: "text", bool: "`true` or `false`",
        IPv4Network: "network", IPv6Network: "network",
    }  # fmt: skip
    if kind in simple:
        return simple[kind]
    if isinstance(kind, type) and issubclass(kind, Path):
        return "file"
    return "text"


def _default(name: str, field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is None or value is PydanticUndefined or value in ((), {}):
        return "none"
    if isinstance(value, Mapping):
        return f"`{_roles(value)}`"  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, int) and name.endswith("_bytes"):
        for size, unit in _SIZES:
            if value % size == 0 and value:
                return f"{value} ({value // size} {unit})"
    return _number(value) if isinstance(value, int | float) else f"`{value}`"


def _roles(value: Mapping[Any, Any]) -> str:
    """As it is written in the variable: ``admin=read+write``."""
    return ",".join(f"{name}={'+'.join(sorted(map(str, scopes)))}" for name, scopes in value.items())


def _number(value: Any) -> str:  # noqa: ANN401 - of a constraint
    return f"{value:g}" if isinstance(value, float) else str(value)
