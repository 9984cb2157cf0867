"""Where the rows of an XML file are: the path of elements from the root to a row, found out from the file's start.

A path holds local names, the root's first; ``*`` last stands for any child of the element before it. Without one in the
template, the first of these that holds decides:

- RSS and Atom are known: their rows are ``rss/channel/item`` and ``feed/entry``.
- An element that is repeated, the outermost one of several within each other, and has attributes or children, or
  stands in the root: its likes are the rows. Where several are repeated, or where what surrounds the only one has
  values of its own, the template's columns tell which place is meant, see ``record_places.choose``; if they do not, the
  file is refused.
- Nothing is repeated: the place that the template's columns tell; else the root, if it has several children which
  are all different and hold but text; else every child of the root is a row.
"""

import codecs
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

from libs.contracts.errors import FileRefusedError
from libs.contracts.reasons import RunErrorCode
from libs.contracts.templates import Template
from services.parser.formats.api.headers import listed
from services.parser.formats.api.limits import ReaderLimits
from services.parser.formats.api.record_places import RecordPlace, choose, offers_any, unclear
from services.parser.formats.xml.events import End, Event, EventParser, Start
from services.parser.formats.xml.prolog import Prolog

ANY = "*"
ROOT_CHILDREN = (ANY, ANY)
"""The path of plans that name none."""
_ATOM = "http://www.w3.org/2005/Atom"
_XSI = "http://www.w3.org/2001/XMLSchema-instance "
_ENVELOPE, _BODY = "Envelope", "Body"
_MOST_NODES = 20_000
_MOST_DEPTH = 64
_MOST_COLUMNS = 5_000
_MOST_PLACES = 100
_SHOWN_BESIDE = 10

RowPath = tuple[str, ...]


@dataclass(slots=True, eq=False)
class Node:
    """All elements of one name at one place of the document.

    Attributes:
        name: local name.
        namespace: of the first of them, as expat writes it before names.
        count: how many there are.
        most: most of them within one parent.
        has_text: whether any has text that is not blank.
        attributes: their local names.
        children: by local name.
    """

    name: str
    parent: "Node | None"
    namespace: str = ""
    count: int = 0
    most: int = 0
    has_text: bool = False
    attributes: dict[str, None] = field(default_factory=dict[str, None])
    children: "dict[str, Node]" = field(default_factory=dict[str, "Node"])
    _within: int = 0
    _of_parent: int = -1

    @property
    def complex(self) -> bool:
        return bool(self.children or self.attributes)

    @property
    def path(self) -> RowPath:
        return (*(self.parent.path if self.parent is not None else ()), *([self.name] if self.name else []))

    def entered(self, of_parent: int) -> None:
        """Count another one of them, in the parent of that number."""
        self._within = self._within + 1 if of_parent == self._of_parent else 1
        self._of_parent = of_parent
        self.most = max(self.most, self._within)
        self.count += 1

    def columns(self, without: "Node | None" = None, prefix: str = "") -> Iterator[str]:
        """Names of the cells that such an element has, but for those of one node within it."""
        yield from (f"{prefix}{name}" for name in self.attributes)
        for child in self.children.values():
            if child is not without:
                if child.has_text or not child.children:
                    yield f"{prefix}{child.name}"
                yield from child.columns(without, f"{prefix}{child.name}.")

    def place(self) -> RecordPlace:
        """Such elements as rows."""
        return RecordPlace("/".join(self.path), frozenset(islice(self.columns(), _MOST_COLUMNS)))

    def within(self) -> "Iterator[Node]":
        """All nodes below."""
        for child in self.children.values():
            yield child
            yield from child.within()

    def above(self) -> "Iterator[Node]":
        """All nodes around, the root last."""
        node = self.parent
        while node is not None and node.name:
            yield node
            node = node.parent


def outline(data: bytes, encoding: str, limits: ReaderLimits) -> Node | None:
    """The root of a file's start, with all that is in it; ``None`` where it has not come.

    What is malformed ends it: the reader says what is wrong.

    Raises:
        FileRefusedError: ``XML_DTD_FORBIDDEN``.
    """
    prolog = Prolog()
    if not prolog.feed(codecs.getincrementaldecoder(encoding)("replace").decode(data)):
        return None
    parser = EventParser(limits.max_record_bytes)
    with suppress(FileRefusedError):
        parser.feed(prolog.text.encode("utf-8", "replace"), final=False)
    return _outline(parser.events)


def _outline(events: Iterable[Event]) -> Node | None:
    top = node = Node("", None)
    nodes = deeper = 0
    for event in events:
        if type(event) is Start:
            namespace, _, name = event.name.rpartition(" ")
            child = node.children.get(name)
            if deeper or (child is None and (nodes >= _MOST_NODES or len(node.path) >= _MOST_DEPTH)):
                deeper += 1
                continue
            if child is None:
                nodes += 1
                child = node.children[name] = Node(name, node, namespace)
            child.entered(node.count)
            node = child
        elif type(event) is End:
            if deeper:
                deeper -= 1
            else:
                node = node.parent or top
        elif deeper:
            continue
        elif isinstance(event, list):
            names = (name.rpartition(" ")[2] for name in event[::2] if not name.startswith(_XSI))
            node.attributes.update(dict.fromkeys(names))
        elif isinstance(event, str) and not node.has_text and not event.isspace():
            node.has_text = True
    return next(iter(top.children.values()), None)


@dataclass(frozen=True, slots=True)
class Rows:
    """Where the rows are.

    Attributes:
        path: see the module.
        beside: names of other elements that may stand among them; ``None`` means any.
        note: for the owner of the run.
    """

    path: RowPath = ROOT_CHILDREN
    beside: tuple[str, ...] | None = None
    note: str | None = None


def find_rows(root: Node | None, template: Template, *, whole_file: bool) -> Rows:
    """Where the rows of a file are.

    Args:
        root: what its start holds.
        template: with the path, or else with the columns that are wanted.
        whole_file: whether that is all of it.

    Raises:
        FileRefusedError: ``RECORDS_UNCLEAR``, ``NO_RECORDS``.
    """
    told = template.source.record_path
    if root is None:
        return Rows() if told is None else Rows(_steps(told))
    if told is not None:
        return Rows(_told(root, told, whole_file=whole_file))
    if (known := _known(root)) is not None:
        return _found(root, known)
    start = root.children.get(_BODY, root) if root.name == _ENVELOPE else root
    lists = _lists(start)
    if not lists:
        return _without_lists(root, start, template, whole_file=whole_file)
    around = _with_values(lists, start)
    if len(lists) == 1 and not around:
        return _found(root, lists[0].path)
    nodes = [*lists, *around]
    places = [node.place() for node in nodes]
    best = choose(places, template)
    if best is not None:
        return _found(root, nodes[places.index(best)].path)
    if len(lists) == 1 and not offers_any(places, template):
        return _found(root, lists[0].path)
    raise unclear(places, "elements")


def _known(root: Node) -> RowPath | None:
    if root.name == "rss" and "channel" in root.children:
        return ("rss", "channel", "item")
    if root.name == "feed" and root.namespace == _ATOM:
        return ("feed", "entry")
    return None


def _lists(start: Node) -> list[Node]:
    """The outermost elements that are repeated; of those without attributes and children, only the next ones."""
    repeated = _outermost(start, lambda node: node.most > 1 and node.complex)
    return repeated or [node for node in start.children.values() if node.most > 1]


def _outermost(node: Node, wanted: Callable[[Node], bool]) -> list[Node]:
    found: list[Node] = []
    for child in node.children.values():
        found += [child] if wanted(child) else _outermost(child, wanted)
        if len(found) > _MOST_PLACES:
            break
    return found


def _with_values(lists: list[Node], start: Node) -> list[Node]:
    """The elements around the lists that have values of their own; attributes of the root are none."""
    inner = set(lists)
    around = dict.fromkeys(node for each in lists for node in each.above())
    outside = set(start.above())

    def has_values(node: Node) -> bool:
        return any(
            child not in inner and child not in around and (child.has_text or child.attributes or has_values(child))
            for child in node.children.values()
        )

    return [
        node
        for node in around
        if node not in outside
        and ((node.attributes and node.parent is not None and node.parent.name) or has_values(node))
    ]


def _without_lists(root: Node, start: Node, template: Template, *, whole_file: bool) -> Rows:
    nodes = [node for node in [start, *islice(start.within(), _MOST_PLACES)] if node.children or node.attributes]
    places = [node.place() for node in nodes]
    best = choose(places, template) if offers_any(places, template) and whole_file else None
    if best is not None:
        return _found(root, nodes[places.index(best)].path)
    children = list(root.children.values())
    if whole_file and len(children) > 1 and not any(child.complex for child in children):
        return _found(root, (root.name,))
    if start is not root:
        while len(start.children) == 1 and (only := next(iter(start.children.values()))).children:
            start = only
        return _found(root, start.path)
    return Rows()


def _found(root: Node, path: RowPath) -> Rows:
    """The rows at a path that was found out.

    Raises:
        FileRefusedError: ``RECORDS_UNCLEAR``, if some of their like stand elsewhere.
    """
    node: Node | None = root
    container: Node | None = None
    for step in path[1:]:
        container, node = node, node.children.get(step) if node is not None else None
    beside = () if container is None else tuple(name for name in container.children if name != path[-1])
    if node is not None and container is not None and node.complex and _known(root) is None:
        inside = {node, *node.within(), *node.above()}
        if others := [each for each in root.within() if each.name == node.name and each.complex and each not in inside]:
            raise unclear([each.place() for each in [node, *others[:_MOST_PLACES]]], "elements")
    note = f"rows: the elements {'/'.join(path)}"
    if len(path) == 1:
        note = f"rows: the whole file is one record, {path[0]}"
    elif outside := _names_outside(container, path[-1]):
        shown = ", ".join(outside[:_SHOWN_BESIDE]) + (", …" if len(outside) > _SHOWN_BESIDE else "")
        note += f"; not read is what stands beside them: {shown}"
    elif len(path) == 2:
        return Rows(path, beside)  # as everybody expects
    return Rows(path, beside, note)


def _names_outside(container: Node | None, row: str) -> list[str]:
    """Names of what stands around the rows, of the innermost elements first."""
    names: list[str] = []
    while container is not None and container.name:
        names += [name for name in container.children if name != row]
        container, row = container.parent, container.name
    return names


def _steps(told: str) -> RowPath:
    return tuple(step.rpartition(":")[2] for step in told.strip("/").split("/"))


def _told(root: Node, told: str, *, whole_file: bool) -> RowPath:
    """The path that the template names: from the root, or the end of it.

    Raises:
        FileRefusedError: ``NO_RECORDS``, ``RECORDS_UNCLEAR``.
    """
    if told == ".":
        return (root.name,)
    steps = _steps(told)
    last = steps[-1]
    from_root = steps[0] == root.name or (steps[0] == ANY and len(steps) > 1)
    path = (root.name, *(steps[1:] if from_root else steps))
    nodes = [root, *root.within()]
    if not whole_file or any(_matches(node.path, path) for node in nodes):
        return path
    ending = [node for node in nodes[1:] if _matches(node.path[-len(steps) :], steps)]
    if len({node.path[:-1] if last == ANY else node.path for node in ending}) == 1:
        return (*ending[0].path[:-1], last)
    if ending:
        raise unclear([node.place() for node in ending], "elements")
    containers = [node for node in nodes if _matches(node.path, path[:-1])]
    if containers and (from_root or not any(child.complex for each in containers for child in each.children.values())):
        return path  # of no rows
    places = [node.place() for node in nodes if node.complex and node is not root] or [root.place()]
    raise FileRefusedError(
        RunErrorCode.NO_RECORDS,
        f"no element of the file is at the record_path {told!r} of the template; what there is are the elements "
        f"{listed([place.path for place in places])}",
    )


def _matches(path: RowPath, wanted: RowPath) -> bool:
    return len(path) == len(wanted) and all(step in {name, ANY} for name, step in zip(path, wanted, strict=True))
