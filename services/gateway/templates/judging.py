"""What keeps a template from working, in paths of the model.

``libs.contracts.templates`` says what hangs together; here is added what needs more than the model: the engine of
patterns, the formats and encodings that there are, and the rules for addresses of receivers.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from libs.contracts.templates import (
    MAX_FIELDS,
    MAX_TEXT_CHARS,
    Max,
    MaxLength,
    Min,
    MinLength,
    Regex,
    Rule,
    SourceFormat,
    Template,
    Unique,
    template_findings,
)
from libs.egress.rules import IPNetwork, url_problem
from libs.formats.encodings import file_codec
from libs.formats.file_types import file_types, option_findings
from libs.patterns import pattern_problems
from services.gateway.errors import Problem, invalid_template
from services.gateway.shown import shown
from services.gateway.templates.scopes import scope_problems
from services.gateway.templates.turns import Turns
from services.gateway.webhooks.endpoints import MAX_SECRET_BYTES, MIN_SECRET_BYTES, is_signing_secret

MAX_BOUND = 2**63 - 1
MAX_LENGTH_BOUND = 2**31 - 1


@dataclass(frozen=True, slots=True)
class ApprovedTemplate:
    """A template that can work, as ``TemplateJudge.approve`` found; what is saved and run is only ever one of these.

    Attributes:
        webhook_secret: the signing secret that its owner gave.
    """

    template: Template
    webhook_secret: str | None = None


@dataclass(frozen=True, slots=True)
class TemplateJudge:
    """Judges templates.

    Attributes:
        allowed_networks: networks that webhooks may reach although they are not public.
        turns: where reading and judging is done for a request: both may take seconds.
    """

    allowed_networks: Collection[IPNetwork] = field(default=())
    turns: Turns = field(default_factory=Turns)

    def approve(self, parts: Template, webhook_secret: str | None = None) -> ApprovedTemplate:
        """The template made of ``parts``, which may come from ``Template.model_construct``.

        Raises:
            InvalidTemplateError: it cannot work; holds every problem.
        """
        if problems := self.problems(parts, webhook_secret):
            raise invalid_template(problems)
        return ApprovedTemplate(Template.model_validate(dict(parts)), webhook_secret)

    def problems(
        self, parts: Template, webhook_secret: str | None = None, unread: Collection[str] = ()
    ) -> list[Problem]:
        """Everything that keeps ``parts`` from working.

        Args:
            parts: members of a template, each well-formed on its own; those that are missing are not judged.
            webhook_secret: the signing secret that its owner gave.
            unread: paths of members that were given but could not be read, such as ``fields[3]``. What could only be
                blamed on them is left out.
        """
        return [
            *self._writing(parts),
            *_source_problems(parts.source),
            *_default_value_problems(parts),
            *self._webhook_problems(parts, webhook_secret, unread),
            *_rule_problems(parts),
            *_findings(parts, unread),
        ]

    def _writing(self, parts: Template) -> Iterator[Problem]:
        name: str | None = getattr(parts, "name", None)
        if name is not None and not name.strip():
            yield Problem("name", "INVALID", "is blank; give the template a name that can be seen")
        yield from scope_problems(parts)

    def _webhook_problems(self, parts: Template, secret: str | None, unread: Collection[str]) -> Iterator[Problem]:
        if parts.webhook_url is not None and (problem := url_problem(parts.webhook_url, self.allowed_networks)):
            yield Problem("webhook_url", "INVALID_URL", problem)
        if secret is not None and not is_signing_secret(secret):
            yield Problem(
                "webhook_secret",
                "INVALID",
                f"a secret is 'whsec_' and the base64 of {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} random bytes; "
                "leave it out to get one",
            )
        if secret is not None and parts.webhook_url is None and "webhook_url" not in unread:
            yield Problem(
                "webhook_secret", "CONFLICT", "a secret needs a webhook_url; add one, or leave the secret out"
            )


def _source_problems(source: SourceFormat) -> Iterator[Problem]:
    known = file_types()
    if source.file_type is not None and source.file_type not in known:
        yield Problem(
            "source.file_type",
            "INVALID",
            f"{shown(source.file_type)} is no known format; known: {', '.join(known)}",
        )
    for finding in option_findings(source):
        yield Problem(finding.location, finding.code, finding.message)
    if source.delimiter is not None and source.delimiter in '"\r\n\0':
        yield Problem(
            "source.delimiter", "INVALID", "a quote, a line break or NUL cannot separate cells; use another character"
        )
    yield from _csv_problems(source)
    if source.encoding is not None and file_codec(source.encoding) is None:
        message = f"{shown(source.encoding)} is no text encoding; examples: utf-8, utf-16, cp1252"
        yield Problem("source.encoding", "INVALID", message)


def _csv_problems(source: SourceFormat) -> Iterator[Problem]:
    taken = {source.delimiter: "delimiter"}
    for member in ("quote_char", "escape_char"):
        character: str | None = getattr(source, member)
        if not character:
            continue
        if not character.isascii() or not character.isprintable() or character.isalnum() or character == " ":
            message = f"{shown(character)} cannot be told from text; use a sign such as \" ' \\ or ~"
            yield Problem(f"source.{member}", "INVALID", message)
        elif character in taken:
            message = f"is the {taken[character]}, too; choose another character"
            yield Problem(f"source.{member}", "CONFLICT", message)
        taken[character] = member
    if (prefix := source.comment_prefix) is not None and (not prefix.isprintable() or prefix[0] in ' "'):
        message = "begins with a blank or a quote, or holds what cannot be seen; use a sign such as #"
        yield Problem("source.comment_prefix", "INVALID", message)


def _default_value_problems(parts: Template) -> Iterator[Problem]:
    if len(parts.default_values) > MAX_FIELDS:
        message = f"at most {MAX_FIELDS} default values can be given; these are {len(parts.default_values):,}"
        yield Problem("default_values", "INVALID", message)
    for name, value in parts.default_values.items():
        if not _is_storable(value):
            yield Problem(
                f"default_values.{name}",
                "INVALID",
                f"a default is a text of at most {MAX_TEXT_CHARS} bytes, a finite number, true, false or null",
            )


def _is_storable(value: object) -> bool:
    if isinstance(value, str):
        try:
            return len(value.encode()) <= MAX_TEXT_CHARS
        except UnicodeEncodeError:
            return False
    return value is None or isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _rule_problems(parts: Template) -> Iterator[Problem]:
    patterns = pattern_problems(rule.pattern for each in parts.fields for rule in each.rules if isinstance(rule, Regex))
    for number, each in enumerate(parts.fields):
        for index, rule in enumerate(each.rules):
            yield from _problems_of_rule(rule, f"fields[{number}].rules[{index}]", patterns)


def _problems_of_rule(rule: Rule, location: str, patterns: Mapping[str, str]) -> Iterator[Problem]:
    """What the model leaves to others: the engine of patterns, and numbers that columns can be compared with."""
    match rule:
        case Regex() if problem := patterns.get(rule.pattern):
            yield Problem(f"{location}.pattern", "INVALID_PATTERN", problem)
        case MinLength() | MaxLength() if rule.value > MAX_LENGTH_BOUND:
            yield Problem(f"{location}.value", "INVALID", f"a length of at most {MAX_LENGTH_BOUND:,} is needed")
        case Unique() if repeated := _repeated(rule.fields):
            message = f"{', '.join(map(repr, repeated))} is there more than once; name each field once"
            yield Problem(f"{location}.fields", "CONFLICT", message)
        case Min() | Max() if abs(rule.value) > MAX_BOUND:
            yield Problem(
                f"{location}.value", "INVALID", f"a number between -{MAX_BOUND:,} and {MAX_BOUND:,} is needed"
            )
        case _:
            return


def _repeated(names: Sequence[str]) -> list[str]:
    return [name for name, times in Counter(names).items() if times > 1]


def _findings(parts: Template, unread: Collection[str]) -> Iterator[Problem]:
    """What the model itself says, without what is said of a field only because it could not be read."""
    unread_names = {each.name for number, each in enumerate(parts.fields) if f"fields[{number}]" in unread}
    for finding in template_findings(parts):
        about = {finding.other}
        if finding.field is not None and finding.member != "name":
            about.add(parts.fields[finding.field].name)
        if not about & unread_names:
            yield Problem(finding.location, finding.code, finding.message)
