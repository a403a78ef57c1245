"""What differs between companies is declared, on Athena as on DuckDB."""

from __future__ import annotations

import pytest

from tests.athena.engine import AT_ONCE, AthenaEngine
from tests.support.engines import DuckdbEngine
from tests.support.other_company import (
    build_other_company,
    check_accounts_leave_by_events,
)
from tests.support.parity import Built, differences


@pytest.fixture(scope="module")
def built(cloud, tmp_path_factory) -> Built:
    return build_other_company(
        AthenaEngine(cloud, tmp_path_factory.mktemp("athena"), "other"),
        DuckdbEngine(tmp_path_factory.mktemp("duckdb")),
    )


def test_every_table_is_the_same_row_for_row(built) -> None:
    different = differences(built, at_once=AT_ONCE)
    assert not different, "\n".join(different)


def test_accounts_leave_by_events(built) -> None:
    check_accounts_leave_by_events(built)
