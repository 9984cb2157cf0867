"""``docs/dashboards.md``: what each dashboard is for, its picture, and how its panels are read."""

from collections.abc import Iterator, Sequence

from deploy.monitoring.panels import Dashboard, Panel

_INTRODUCTION = """\
# Dashboards

Made by `make docs` from [deploy/monitoring/dashboards](../deploy/monitoring/dashboards); Grafana reads
[deploy/grafana](../deploy/grafana). `make pictures` draws the pictures, from the same JSON and what Prometheus answers
about a stack of its own under a mixed load: three organizations with good and bad files, small and large ones, and a
receiver of webhooks that fails.
"""


def dashboards_document(dashboards: Sequence[Dashboard]) -> str:
    """The text of the document."""
    return "\n".join([_INTRODUCTION, *(line for page in dashboards for line in _page(page))])


def _page(page: Dashboard) -> Iterator[str]:
    yield f"## {page.title.removeprefix('Rowdock / ')}\n"
    yield f"{page.text}\n"
    yield f"![{page.title}](img/{page.uid}.png)\n"
    if explained := [each for row in page.rows for each in row.panels if each.text or each.runbook]:
        yield "| panel | how to read it | runbook |"
        yield "|---|---|---|"
        yield from map(_line, explained)
        yield ""


def _line(panel: Panel) -> str:
    runbook = f"[{panel.runbook}](runbooks/{panel.runbook}.md)" if panel.runbook else ""
    return f"| {panel.title} | {panel.text} | {runbook} |"
