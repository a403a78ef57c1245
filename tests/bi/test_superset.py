"""The dashboard of deploy/superset in Apache Superset, on a published snapshot."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from churn.web.publish import publish
from tests.support.paths import ROOT
from tests.support.postgres import find_postgres, running_postgres
from tests.support.serving import project_of, write_marts


def test_superset_imports_the_dashboard_and_shows_what_was_published(
    tmp_path: Path,
) -> None:
    python = os.environ.get("CHURN_SUPERSET_PYTHON")
    programs = find_postgres()
    assert python, "Run `make test-bi`, which installs Superset."
    assert programs, "Install PostgreSQL: `apt-get install postgresql`."
    (tmp_path / "postgres").mkdir()
    with running_postgres(programs, tmp_path / "postgres") as url:
        publish(project_of(write_marts(tmp_path / "marts.duckdb", accounts=60)), url)
        settings = tmp_path / "superset_config.py"
        settings.write_text(
            "SECRET_KEY = 'only for this test, and long enough for it'\n"
            f"SQLALCHEMY_DATABASE_URI = 'sqlite:///{tmp_path}/superset.db'\n"
            "WTF_CSRF_ENABLED = False\n"
        )
        run = subprocess.run(
            [
                *(python, Path(__file__).with_name("query_superset.py")),
                ROOT / "deploy" / "superset" / "export",
                url.set(drivername="postgresql+psycopg2").render_as_string(False),
            ],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "SUPERSET_HOME": str(tmp_path),
                "SUPERSET_CONFIG_PATH": str(settings),
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
        # Superset logs to the same stream; the result is its last line.
        charts = json.loads(run.stdout.strip().splitlines()[-1])
        import sqlalchemy as sa

        with sa.create_engine(url, poolclass=sa.NullPool).connect() as connection:
            total, listed = connection.exec_driver_sql(
                """select sum(revenue_at_risk),
                    count(*) filter (where risk_band in ('high', 'medium'))
                from churn_serving.accounts"""
            ).one()
            by_owner = {
                (row[0], row[1]): row[2]
                for row in connection.exec_driver_sql(
                    """select owner_name, risk_band, sum(revenue_at_risk)
                    from churn_serving.facets group by 1, 2"""
                )
            }
    assert set(charts) == {
        "Revenue at risk a month",
        "Revenue at risk by owner and band",
        "Accounts at risk",
    }
    (row,) = charts["Revenue at risk a month"]
    assert row["revenue_at_risk"] == pytest.approx(total)
    shown = {
        (row["owner_name"], row["risk_band"]): row["revenue_at_risk"]
        for row in charts["Revenue at risk by owner and band"]
    }
    # The facets hold rounded sums of the same accounts.
    assert shown == pytest.approx(by_owner, abs=0.2)
    rows = charts["Accounts at risk"]
    assert len(rows) == listed
    money = [row["revenue_at_risk"] for row in rows]
    assert money == sorted(money, reverse=True)
    assert all(row["offer_because"] for row in rows)
