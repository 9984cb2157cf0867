"""Just enough of a client of the gateway to measure it from outside."""

from pathlib import Path
from typing import Any, Self

import httpx


class Gateway:
    """Creates templates, uploads files, looks at runs; any error answer raises ``httpx.HTTPStatusError``."""

    def __init__(self, url: str, api_key: str) -> None:
        self._http = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {api_key}"}, timeout=600, trust_env=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def create_template(self, template: dict[str, Any]) -> str:
        """The id of a new template."""
        return self._checked(self._http.post("/imports/templates", json=template))["id"]

    def upload(self, template_id: str, file: Path) -> dict[str, Any]:
        """Upload a file, streaming; the run."""
        with file.open("rb") as content:
            form = {"template_id": template_id}
            return self._checked(self._http.post("/imports/upload", data=form, files={"file": (file.name, content)}))

    def run(self, run_id: str) -> dict[str, Any]:
        """The run as it is now."""
        return self._checked(self._http.get(f"/imports/runs/{run_id}"))

    def cancel(self, run_id: str) -> None:
        """Cancel an active run."""
        self._checked(self._http.post(f"/imports/runs/{run_id}/cancel"))

    @staticmethod
    def _checked(answer: httpx.Response) -> dict[str, Any]:
        if answer.is_error:
            raise httpx.HTTPStatusError(
                f"{answer.request.url}: {answer.status_code} {answer.text}",
                request=answer.request,
                response=answer,
            )
        return answer.json()
