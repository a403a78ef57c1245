"""Import the dashboard into a new Superset and query its charts through the API.

Runs with Superset's own Python, because Superset and this project need other versions
of the same packages: ``python query_superset.py EXPORT SERVING_URL``. Prints the rows
of each chart as JSON.
"""

from __future__ import annotations

import io
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

PLACEHOLDER = "postgresql+psycopg2://churn@localhost:5432/churn"


def pack(export: Path, url: str) -> io.BytesIO:
    """Return the export as the ZIP file that Superset imports, for another database."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(export.rglob("*.yaml")):
            text = path.read_text()
            if path.parent.name == "databases":
                assert PLACEHOLDER in text
                text = text.replace(PLACEHOLDER, url)
            archive.writestr(f"churn/{path.relative_to(export)}", text)
    packed.seek(0)
    return packed


def main(export: Path, url: str) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of each chart by its name."""
    from superset.app import create_app

    app = create_app()
    with app.app_context():
        from flask_migrate import upgrade
        from superset import security_manager

        upgrade(
            directory=str(Path(sys.modules["superset"].__file__).parent / "migrations")
        )
        security_manager.sync_role_definitions()
        security_manager.add_user(
            "ada",
            "Ada",
            "Admin",
            "ada@example.com",
            security_manager.find_role("Admin"),
            password="not-a-secret",
        )
    client = app.test_client()

    def call(method: str, path: str, **options: Any) -> dict[str, Any]:
        response = client.open(f"/api/v1/{path}", method=method, **options)
        if response.status_code != 200:
            raise SystemExit(f"{path}: {response.status_code} {response.text[:2000]}")
        return response.json

    login = {"username": "ada", "password": "not-a-secret", "provider": "db"}
    token = call("POST", "security/login", json=login)["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    call(
        "POST",
        "dashboard/import/",
        headers=headers,
        data={"formData": (pack(export, url), "churn.zip"), "overwrite": "true"},
        content_type="multipart/form-data",
    )
    charts = call("GET", "dashboard/accounts-at-risk/charts", headers=headers)["result"]
    results = {}
    for chart in charts:
        params = chart["form_data"]
        query: dict[str, Any] = {
            "columns": [],
            "metrics": params.get("metrics") or [],
            "filters": [
                {"col": each["subject"], "op": "IN", "val": each["comparator"]}
                for each in params.get("adhoc_filters", [])
            ],
            "row_limit": params.get("row_limit", 100),
        }
        if "metric" in params:
            query["metrics"] = [params["metric"]]
        if params.get("all_columns"):
            query["columns"] = params["all_columns"]
            query["orderby"] = [json.loads(each) for each in params["order_by_cols"]]
        if "x_axis" in params:
            query["columns"] = [params["x_axis"], *params["groupby"]]
        dataset, _, kind = params["datasource"].partition("__")
        answer = call(
            "POST",
            "chart/data",
            headers=headers,
            json={
                "datasource": {"id": int(dataset), "type": kind},
                "queries": [query],
                "result_format": "json",
                "result_type": "full",
                "force": True,
            },
        )
        results[chart["slice_name"]] = answer["result"][0]["data"]
    return results


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2])))
