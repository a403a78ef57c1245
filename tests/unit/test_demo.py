"""The demo company: reproducible bytes, its dirt and its truth."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import duckdb
import pytest

from churn.cli.main import main
from churn.demo import Settings, dirt, generate
from churn.demo.batches import DUPLICATE, INCOMPLETE, LATE, MISSING, batch_schedule
from churn.demo.seeds import SEED_COMPANY, write_seeds
from churn.demo.trackers import RAW_NAMES
from churn.ingest.load import load
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

COMPANY = Settings(accounts=250, days=150, seed=3)
SMALL = Settings(accounts=30, days=25, seed=4)


@pytest.fixture(scope="module")
def landing_zone(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "landing"
    generate(COMPANY, out, workers=1)
    return out


@pytest.fixture(scope="module")
def database(landing_zone, tmp_path_factory):
    path = tmp_path_factory.mktemp("loaded") / "demo.duckdb"
    load(landing_zone, path)
    with duckdb.connect(str(path)) as connection:
        for name in ("broken_records", "monthly_hazard", "visitors"):
            connection.execute(
                f"""create table {name} as from read_csv(
                '{landing_zone}/truth/{name}.csv.gz', all_varchar = true)"""
            )
        yield connection


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def count(database: duckdb.DuckDBPyConnection, sql: str) -> int:
    return database.execute(sql).fetchone()[0]


# ---- Determinism ---------------------------------------------------------


def test_bytes_do_not_depend_on_processes_or_on_the_folder(tmp_path):
    generate(SMALL, tmp_path / "one", workers=1)
    generate(SMALL, tmp_path / "elsewhere" / "two", workers=2)

    one, two = digests(tmp_path / "one"), digests(tmp_path / "elsewhere" / "two")

    assert one == two
    assert len(one) > 60
    # No temporary files remain.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "one"]


def test_another_seed_makes_another_company(tmp_path):
    generate(SMALL, tmp_path / "one", workers=1)
    generate(replace(SMALL, seed=5), tmp_path / "two", workers=1)

    one, two = digests(tmp_path / "one"), digests(tmp_path / "two")
    same = {path for path in one if one[path] == two.get(path)}

    assert not any(path.endswith(".jsonl.gz") for path in same)


def test_committed_seeds_are_what_the_generator_writes(tmp_path):
    size = write_seeds(tmp_path)

    assert size <= 3_000_000
    for path in tmp_path.iterdir():
        committed = ROOT / "seeds" / path.name
        assert committed.read_bytes() == path.read_bytes(), (
            f"{committed} is not what `churn demo --seeds` writes: run it "
            "and commit the result"
        )


# ---- The command line ------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--accounts", "0"], "--accounts': 0 is not in the range 1<="),
        (["--days", "many"], "'many' is not a valid integer"),
        (["--start", "01.01.2025"], "'01.01.2025' is not a day"),
        (["--start", "1999-01-01"], "2011-01-01"),
        (["--dialect", "icelandic"], "icelandic"),
        (["--seed", "-1"], "-1 is not in the range 0<="),
        (["--workers", "0"], "--workers"),
    ],
)
def test_bad_arguments_are_named_in_one_sentence(arguments, names, tmp_path, capsys):
    assert main(["demo", *arguments, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.strip()
    assert names in error
    assert "\n" not in error
    assert not (tmp_path / "out").exists()


def test_folder_to_write_must_be_given_and_new(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("keep me")
    for arguments in ([], ["--out", str(tmp_path)], ["--out", f"{tmp_path}/notes.txt"]):
        assert main(["demo", *arguments]) == 2
    assert (tmp_path / "notes.txt").read_text() == "keep me"
    assert len(capsys.readouterr().err.strip().splitlines()) == 3


def test_command_line_writes_and_shows_progress(tmp_path, capsys):
    out = tmp_path / "landing"
    arguments = ["--accounts", "5", "--days", "3", "--workers", "1"]

    assert main(["demo", *arguments, "--out", str(out)]) == 0

    captured = capsys.readouterr()
    assert "clickstream records of 5 accounts over 3 days" in captured.out
    assert "4 of 4" in captured.err
    assert json.loads((out / "demo.json").read_text())["accounts"] == 5


def test_one_account_and_one_day_are_enough(tmp_path):
    generate(Settings(accounts=1, days=1, seed=0), tmp_path / "out", workers=1)

    report = load(tmp_path / "out", tmp_path / "x.duckdb")

    assert report.rows["raw_accounts"] == 1


# ---- The clickstream ---------------------------------------------------------


def test_about_eight_events_per_account_and_ten_days(database):
    records = count(database, "select count(*) from raw.raw_events")

    assert 0.5 < records / (COMPANY.accounts * COMPANY.days) < 1.1


def test_every_kind_of_dirt_occurs(database):
    kinds = dict(
        database.execute(
            "select kind, count(*) from broken_records group by 1"
        ).fetchall()
    )

    expected = {kind.kind for kind in dirt.KINDS} | {dirt.CLOCK_YEARS_OFF, dirt.LATE}
    assert set(kinds) == expected


def test_dirt_comes_at_realistic_rates(database):
    records = count(database, "select count(*) from raw.raw_events")
    dirty = count(database, "select count(*) from broken_records")
    lost = count(
        database, "select count(*) from broken_records where outcome = 'reject'"
    )

    assert 0.02 < dirty / records < 0.055
    assert lost / records < 0.01


def test_committed_seeds_have_every_kind_of_dirt(tmp_path):
    generate(SEED_COMPANY, tmp_path / "landing", workers=1)
    with gzip.open(tmp_path / "landing/truth/broken_records.csv.gz", "rt") as file:
        kinds = Counter(line.split(",")[0] for line in file)

    missing = [kind.kind for kind in dirt.KINDS if not kinds[kind.kind]]
    assert missing == []
    assert kinds[dirt.CLOCK_YEARS_OFF]
    assert kinds[dirt.LATE]


@pytest.mark.parametrize(
    ("kind", "condition"),
    [
        ("byte_order_mark", "starts_with(payload, chr(65279))"),
        ("single_quotes", "payload like '{''%' and not json_valid(payload)"),
        ("truncated", "not json_valid(payload)"),
        # A file whose only other character is the ü of Windows-1252 is read as such.
        (
            "broken_utf8",
            "regexp_matches(payload, chr(65533) || '|für') and json_valid(payload)",
        ),
        ("trailing_comma", "payload like '%,}'"),
        ("python_literals", "contains(payload, ': None')"),
        ("not_a_number", "regexp_matches(payload, 'NaN|Infinity')"),
        ("pretty_printed", "contains(payload, chr(10)) and json_valid(payload)"),
        ("double_encoded", "try(json_type(payload)) = 'VARCHAR'"),
        ("braces_in_text", "contains(payload, '}{') and json_valid(payload)"),
    ],
)
def test_truth_matches_the_records(database, kind, condition):
    missing = database.execute(
        f"""
        select event_id
        from broken_records as truth
        where kind = '{kind}' and not exists (
            select 1 from raw.raw_events
            where raw_events.source_file = truth.source_file
                and raw_events.received_at = cast(truth.received_at as timestamp)
                and {condition}
        )
        """
    ).fetchall()

    assert missing == []


def test_redelivered_events_arrive_twice(database):
    wrong = database.execute(
        """
        select event_id, kind, count(*)
        from broken_records
        inner join raw.raw_events on contains(payload, event_id)
        where outcome = 'duplicate'
        group by all
        having count(*) <> 2 or (count(distinct raw_events.received_at) = 2)
            <> (kind = 'delivered_again_later')
        """
    ).fetchall()

    assert wrong == []


def test_records_are_in_the_folder_of_the_day_they_were_received(database):
    misplaced = count(
        database,
        """select count(*) from raw.raw_events
        where not contains(source_file, 'dt=' || strftime(received_at, '%Y-%m-%d'))
            and json_valid(payload)""",
    )
    lateness = database.execute(
        """select
            count(*) filter (days = 1), count(*) filter (days between 2 and 6),
            count(*) filter (days > 27)
        from (
            select cast(received_at as date) - cast(
                regexp_extract(source_file, 'part-(.{10})', 1) as date) as days
            from raw.raw_events)"""
    ).fetchone()

    assert misplaced == 0
    assert all(lateness), lateness


def test_nothing_arrives_after_the_morning_of_the_snapshot(database):
    latest = database.execute(
        """select max(received_at), (select max(loaded_at) from raw.raw_accounts)
        from raw.raw_events"""
    ).fetchone()

    assert str(latest[0])[:13] <= "2025-05-31 08"
    # The last day is complete: its batch has been loaded, and its allowed lateness has
    # passed.
    assert str(latest[0]) > "2025-05-31 06:00:00"
    assert str(latest[1]) < "2025-05-31 06:00:00"


def test_all_five_formats_are_used_in_their_shares(database):
    shares = database.execute(
        """
        select
            avg(cast(contains(payload, '"ts":') as int)),
            avg(cast(contains(payload, '"sent_at":') as int)),
            avg(cast(contains(payload, '"messageId":') as int)),
            avg(cast(contains(payload, '"event_params":') as int)),
            avg(cast(starts_with(payload, '{"data":') as int))
        from raw.raw_events
        """
    ).fetchone()

    for share, expected in zip(shares, (0.40, 0.25, 0.20, 0.10, 0.05), strict=True):
        assert abs(share - expected) < 0.08, shares


def test_every_raw_event_name_is_in_the_seed():
    path = ROOT / "seeds" / "event_names.csv"
    seed_names = {line.split(",")[0].lower() for line in path.read_text().splitlines()}

    used = {name.lower() for names in RAW_NAMES for name in names.values()}

    assert used <= seed_names


def test_visitors_match_the_truth(database):
    """A login on a user's own device is that user's."""
    wrong = count(
        database,
        """
        select count(*)
        from raw.raw_events
        inner join visitors
            on visitor_id = try(json_extract_string(payload, '$.anonymous_id'))
        where kind = 'person' and try(json_extract_string(payload, '$.user_id'))
            not in (user_id, '', 'null', 'undefined')
        """,
    )
    on_kiosks = count(
        database,
        """
        select count(distinct try(json_extract_string(payload, '$.user_id')))
        from raw.raw_events
        inner join visitors
            on visitor_id = try(json_extract_string(payload, '$.anonymous_id'))
        where kind = 'kiosk'
        """,
    )
    known_visitors = count(
        database,
        """
        select avg(cast(visitor_id is not null as int))
        from (
            select distinct
                json_extract_string(payload, '$.anonymous_id') as anonymous_id
            from raw.raw_events
            where starts_with(payload, '{"event":"') and json_valid(payload)
        )
        left join visitors on visitor_id = anonymous_id
        where anonymous_id <> '' and anonymous_id not in ('null', 'undefined')
        """,
    )

    assert wrong == 0
    assert on_kiosks > 3
    assert known_visitors == 1.0


def test_people_browse_before_they_log_in_and_on_several_devices(database):
    found = database.execute(
        """
        with web as (
            select
                json_extract_string(payload, '$.anonymous_id') as visitor_id,
                json_extract_string(payload, '$.user_id') as user_id
            from raw.raw_events
            where starts_with(payload, '{"event":"') and json_valid(payload)
        ),
        per_user as (
            select user_id, count(distinct visitor_id) as devices
            from web where user_id like 'u-%' group by 1
        )
        select
            (select avg(cast(user_id is null as int)) from web),
            (select count(*) from per_user where devices >= 2)
        """
    ).fetchone()

    assert 0.2 < found[0] < 0.7
    assert found[1] > 10


# ---- The batches -----------------------------------------------------------


def test_crm_batches_are_missing_late_incomplete_and_duplicated(database):
    schedule = batch_schedule(COMPANY)
    assert {MISSING, LATE, INCOMPLETE, DUPLICATE} <= set(schedule)
    assert (MISSING, MISSING) in pairwise(schedule)
    loaded = dict(
        database.execute(
            """
            select
                cast(date_diff('day', date '2025-01-01', batch_date) as int),
                (
                    count(*), count(distinct account_id), count(distinct loaded_at),
                    bool_or(
                        loaded_at - cast(batch_date as timestamp)
                        > interval 30 hours
                    )
                )
            from raw.raw_accounts group by batch_date
            """
        ).fetchall()
    )

    for day, status in enumerate(schedule):
        if status == MISSING:
            assert day not in loaded
            continue
        rows, accounts, batches, is_late = loaded[day]
        assert rows == accounts * batches
        assert batches == (2 if status == DUPLICATE else 1)
        assert is_late == (status == LATE)
        if status == INCOMPLETE:
            assert rows < 0.6 * loaded[day - 1][0]


def test_crm_has_all_spellings_of_null(database):
    texts = {
        text
        for (text,) in database.execute(
            "select distinct cancelled_service from raw.raw_accounts"
        ).fetchall()
    }

    assert {None, "\\N", "null", "31.02.2025"} <= texts
    assert any(text.endswith(" 00:00:00.0") for text in texts if text)


def test_accounts_cancel_pause_change_plan_and_come_back(database):
    gaps = [
        gap
        for (gap,) in database.execute(
            """
            with cancelled as (
                select distinct account_id, try_cast(cancelled_service as date) as day
                from raw.raw_accounts
            ),
            restarted as (
                select distinct account_id, try_cast(new_customer as date) as day
                from raw.raw_accounts
            )
            select min(restarted.day) - cancelled.day
            from cancelled
            left join restarted
                on cancelled.account_id = restarted.account_id
                and restarted.day >= cancelled.day
            where cancelled.day is not null
            group by cancelled.account_id, cancelled.day
            """
        ).fetchall()
    ]

    assert 0 in gaps
    assert any(gap and gap < 30 for gap in gaps)
    assert any(gap and gap > 30 for gap in gaps)
    assert sum(gap is None for gap in gaps) > 10


def test_flags_dialect_has_cancellations_and_restarts(tmp_path):
    settings = Settings(accounts=120, days=90, seed=3, dialect="flags")
    generate(settings, tmp_path / "landing", workers=1)
    load(tmp_path / "landing", tmp_path / "x.duckdb")
    with duckdb.connect(str(tmp_path / "x.duckdb")) as connection:
        values = connection.execute(
            """select
                list(distinct cancelled_service), list(distinct new_customer),
                count(distinct account_id) filter (cancelled_service = 'Y'),
                count(distinct account_id) filter (new_customer = 'Y')
            from raw.raw_accounts"""
        ).fetchone()

    assert set(values[0]) == set(values[1]) == {"Y", "N", None}
    assert values[2] > values[3] > 0


def test_invoices_have_a_status_on_the_due_date_and_some_change(database):
    loads = dict(
        database.execute(
            """select invoice_id, count(*) from raw.raw_invoices group by 1"""
        ).fetchall()
    )
    statuses = dict(
        database.execute(
            "select status, count(*) from raw.raw_invoices group by 1"
        ).fetchall()
    )
    wrong = count(
        database,
        """select count(*) from (
            select min(loaded_at) - cast(max(due_date) as timestamp) as wait
            from raw.raw_invoices group by invoice_id)
        where wait < interval 24 hours or wait > interval 36 hours""",
    )

    assert wrong == 0
    assert 2 in loads.values()
    assert set(statuses) == {"paid", "late", "failed", "refunded"}
    assert statuses["paid"] > 5 * statuses["late"]


# ---- The truth ---------------------------------------------------------------


def test_accounts_leave_as_often_as_their_hazard_says(database):
    """In fifths of the monthly hazard, churn rates match it, and their order too."""
    fifths = database.execute(
        """
        with cancelled as (
            select distinct account_id, try_cast(left(cancelled_service, 10) as date)
                as day
            from raw.raw_accounts
        ),
        restarted as (
            select distinct account_id, try_cast(left(new_customer, 10) as date) as day
            from raw.raw_accounts
        ),
        churned as (
            select * from cancelled
            where not exists (
                select 1 from restarted
                where restarted.account_id = cancelled.account_id
                    and restarted.day - cancelled.day between 0 and 30
            )
        ),
        predictions as (
            select
                cast(monthly_hazard as double) as predicted,
                exists (
                    select 1 from churned
                    where churned.account_id = monthly_hazard.account_id
                        and churned.day - cast(as_of_date as date) between 0 and 29
                ) as is_churned,
                ntile(5) over (order by cast(monthly_hazard as double))
                    as fifth
            from monthly_hazard
            where cast(as_of_date as date) < date '2025-05-01'
        )
        select avg(predicted), avg(cast(is_churned as int))
        from predictions group by fifth order by fifth
        """
    ).fetchall()

    predicted, simulated = zip(*fifths, strict=True)
    assert simulated[4] > 5 * max(simulated[0], 0.005)
    assert 0.02 < sum(simulated) / 5 < 0.075
    assert abs(sum(predicted) - sum(simulated)) / 5 < 0.02


def test_dissatisfaction_shows_in_every_source(database):
    """Dissatisfied accounts hover more, call more and pay later."""
    sides = database.execute(
        """
        with mood as (
            select account_id, avg(cast(dissatisfaction as double)) as mood
            from monthly_hazard group by 1
        ),
        halves as (
            select account_id, mood > median(mood) over () as is_dissatisfied from mood
        ),
        hovers as (
            select account_id, count(*) as events, count(*) filter (
                contains(payload, '"subscribe_hover"')) as hovers
            from raw.raw_events
            inner join visitors
                on visitor_id = try(json_extract_string(payload, '$.anonymous_id'))
            group by 1
        )
        select
            is_dissatisfied,
            sum(hovers) / sum(events),
            sum((select count(*) from raw.raw_calls
                where raw_calls.account_id = halves.account_id)),
            sum((select count(*) from raw.raw_invoices
                where raw_invoices.account_id = halves.account_id
                and status in ('late', 'failed')))
        from halves left join hovers using (account_id)
        group by 1 order by 1
        """
    ).fetchall()

    (_, hovers, calls, late), (_, more_hovers, more_calls, more_late) = sides
    assert more_hovers > 1.5 * hovers
    assert more_calls > 1.3 * calls
    assert more_late > 1.5 * late


def test_no_model_reads_the_truth():
    names = ("monthly_hazard", "broken_records", "truth/")
    for folder in ("models", "python_models", "macros", "churn"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".sql", ".py", ".yml") and "demo" not in path.parts:
                # Only this module reads the truth, for the model card.
                if path == ROOT / "churn/ml/oracle.py":
                    continue
                text = path.read_text()
                assert not any(name in text for name in names), path


# ---- The committed company ---------------------------------------------------


def test_seed_company_has_churn_in_each_third():
    with duckdb.connect() as connection:
        thirds = connection.execute(
            f"""
            with batches as (
                from read_csv('{ROOT}/seeds/raw_accounts.csv', all_varchar = true)
            ),
            cancelled as (
                select distinct account_id, try_cast(cancelled_service as date) as day
                from batches
            ),
            restarted as (
                select distinct account_id, try_cast(new_customer as date) as day
                from batches
            )
            select (cancelled.day - date '2025-01-01') // 100 as third, count(*)
            from cancelled
            where cancelled.day >= date '2025-01-01' and not exists (
                select 1 from restarted
                where restarted.account_id = cancelled.account_id
                    and restarted.day - cancelled.day between 0 and 30
            )
            group by 1 order by 1
            """
        ).fetchall()

    assert [third for third, _ in thirds] == [0, 1, 2]
    assert all(churns >= 2 for _, churns in thirds)


# ---- The sales team ----------------------------------------------------------


def test_a_company_without_a_sales_team_is_the_same_until_the_team_begins(tmp_path):
    generate(SMALL, tmp_path / "without", workers=1)
    generate(replace(SMALL, sales_from_day=12), tmp_path / "with", workers=1)

    without, team = digests(tmp_path / "without"), digests(tmp_path / "with")

    begins = f"dt={SMALL.day_text(12)}"
    early = {
        path
        for path in without
        if path.startswith(("clickstream/", "support/"))
        and path.split("/")[1] < begins
        and not path.endswith(f"part-{SMALL.day_text(12)}.jsonl.gz")
    }
    assert len(early) > 15
    assert all(without[path] == team[path] for path in early)
    assert any(path.startswith("actions/") for path in team)
    assert not any(path.startswith("actions/") for path in without)


def test_offers_change_the_hazard_only_where_they_fit(tmp_path):
    company = Settings(accounts=400, days=80, seed=5, sales_from_day=10)
    generate(company, tmp_path / "out", workers=1)
    rows = duckdb.sql(
        f"""select * from read_csv('{tmp_path}/out/truth/offer_effects.csv.gz',
        all_varchar = true)"""
    ).df()
    made = rows[rows["contact_date"].notna()]
    before = made["hazard_without_offer"].astype(float)
    after = made["hazard_with_offer"].astype(float)
    fits = made["is_fitting_offer"] == "1"
    assert len(made) > 50
    assert (after[fits] < before[fits]).all()
    assert (after[~fits] == before[~fits]).all()
    # Nearly nobody of the control arm is contacted, most of the others are.
    shares = rows.groupby("arm")["contact_date"].apply(
        lambda dates: dates.notna().mean()
    )
    assert shares["control"] < 0.2 < 0.6 < shares["treatment"]
    actions = [
        json.loads(line)
        for path in sorted((tmp_path / "out" / "actions").rglob("*.gz"))
        for line in gzip.decompress(path.read_bytes()).decode().splitlines()
    ]
    assert len({action["action_id"] for action in actions}) == len(actions)
    contacted = {a["account_id"] for a in actions if a["action_type"] == "contacted"}
    assert contacted == set(made["account_id"])
    for action in actions:
        assert (action["shown_arm"] == "control") == bool(action["override_reason"])
