"""The web page at the size of a large company.

Publishes the scores of generated marts, serves them in a process of their own, and
sends requests from several clients on this machine. CPU per request is read from the
kernel's counters of the serving process, so it depends little on other load;
percentiles include the clients, which share the cores.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import quote

import duckdb

from benchmarks.running import ROOT, run_command

AS_OF = date(2026, 3, 2)
CLIENTS = 16
MARTS = """
create table churn_scores as
with numbers as (
    select
        n as risk_rank,
        'ACC' || lpad(cast(hash(n) % 1000000000000 as varchar), 12, '0')
            || lpad(cast(n as varchar), 7, '0') as account_id,
        (n - 0.5) / {accounts} as share,
        cast(hash(n, 1) % 1000003 as bigint) as h1,
        cast(hash(n, 2) % 1000003 as bigint) as h2,
        cast(hash(n, 3) % 1000003 as bigint) as h3
    from range(1, {accounts} + 1) as numbers (n)
)
select
    account_id,
    cast('{day}' as date) as as_of_date,
    ['Alpen', 'Amber', 'Baltic', 'Bergmann', 'Córdoba', 'Fjord', 'Grünwald', 'Łódź',
     'Öztürk', 'Sønder', 'Harbour', 'Kestrel'][1 + h1 % 12]
        || ' ' || printf('%05x', h3 % 1048576)
        || ' ' || ['Hotels', 'Clinics', 'Campus Homes', 'Ferries'][1 + h2 % 4]
        || [' GmbH', ' Ltd', ' AB', ' S.A.'][1 + h3 % 4] as company_name,
    'owner' || cast(h2 % 200 as varchar) as owner_id,
    'Owner ' || cast(h2 % 200 as varchar) as owner_name,
    0.9 * power(1 - share, 3) as churn_probability,
    (h3 % 2001 - 1000) / 10000.0 as probability_change_7d,
    case when 0.9 * power(1 - share, 3) >= 0.15 then 'high'
        when 0.9 * power(1 - share, 3) >= 0.05 then 'medium' else 'low' end
        as risk_band,
    risk_rank,
    (h1 % 40) || ' support calls in the last 90 days, ' || (h2 % 100)
        || '% about cancelling' as reason_1,
    (h2 % 9) || '.' || (h1 % 10)
        || ' hovers over subscribe per active user in the last 28 days' as reason_2,
    'last support call ' || (h3 % 30) || ' days ago' as reason_3,
    ['mattress', 'pillow', 'topper', 'default'][1 + h1 % 4] as offer_id,
    'One free mattress upgrade on the next exchange' as recommended_offer,
    'viewed the Hypoallergenic Organic Mattress ' || (h2 % 20)
        || ' times in the last 90 days, last on 2026-02-20' as offer_because,
    cast(50 + h3 % 5000 as double) as monthly_recurring_revenue,
    (50 + h3 % 5000) * 0.9 * power(1 - share, 3) as revenue_at_risk,
    'EUR' as currency,
    'm1' as model_version,
    cast('{day}' as timestamp) as scored_at,
    cast('{day}' as timestamp) as clickstream_data_through,
    cast('{day}' as date) - 1 as crm_data_through,
    false as is_stale
from numbers;
create table account_features as
select account_id, as_of_date, 'comfort' as plan, 'Hospitality' as industry,
    12 as seats, 500 as account_age_days
from churn_scores;
create table churn_score_history as
select account_id, as_of_date - cast(30 * month as integer) as as_of_date,
    churn_probability, risk_band, model_version, scored_at
from churn_scores cross join range(12) as months (month);
"""


@dataclass(frozen=True)
class Line:
    """One line of the table: a figure and its bound."""

    name: str
    value: float
    bound: float
    unit: str


def write_marts(path: Path, accounts: int, day: date = AS_OF) -> None:
    """Generate the marts of a company in a DuckDB file."""
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as connection:
        connection.execute(MARTS.format(accounts=accounts, day=day))


def publish_command(marts: Path) -> list[str]:
    """Return the command that publishes marts."""
    return [sys.executable, "-m", "churn", "publish", f"--database={marts}"]


@dataclass
class Server:
    """A served page.

    Attributes:
        port: Its port.
        process: Its process.
    """

    port: int
    process: subprocess.Popen[bytes]

    def cpu_seconds(self) -> float:
        """Return the CPU time of the process so far."""
        text = Path(f"/proc/{self.process.pid}/stat").read_text()
        fields = text.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_megabytes(self) -> float:
        """Return the peak resident memory of the process."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
        return float("nan")


@contextlib.contextmanager
def served(environment: dict[str, str]) -> Iterator[Server]:
    """Serve the page in a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "churn", "serve", f"--port={port}"],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
    )
    try:
        for _ in range(600):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            time.sleep(0.1)
        yield Server(port, process)
    finally:
        process.terminate()
        process.wait(20)


@dataclass
class Answers:
    """What clients received.

    Attributes:
        seconds: Duration of each request.
        failures: Requests without a complete answer of status 200.
        bodies: Bodies, if they were kept.
    """

    seconds: list[float]
    failures: int
    bodies: list[str]

    def percentile(self, share: float) -> float:
        """Return a percentile of the durations in milliseconds."""
        ordered = sorted(self.seconds)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def _request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, url: str
) -> tuple[int, bytes]:
    writer.write(f"GET {url} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return int(head[9:12]), await reader.readexactly(length)


async def _load(
    port: int,
    urls: Callable[[], str],
    is_over: Callable[[int], bool],
    per_second: float | None,
    keep: bool,
) -> Answers:
    answers = Answers([], 0, [])
    started = time.perf_counter()
    sent = 0

    async def client() -> None:
        nonlocal sent
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while not is_over(sent):
            number = sent
            sent += 1
            due = time.perf_counter()
            if per_second is not None:
                # Waiting for a late answer counts too.
                due = started + number / per_second
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
            try:
                status, body = await asyncio.wait_for(
                    _request(reader, writer, urls()), 10
                )
            except (TimeoutError, OSError, asyncio.IncompleteReadError):
                answers.failures += 1
                writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                continue
            answers.seconds.append(time.perf_counter() - due)
            answers.failures += status != 200
            if keep:
                answers.bodies.append(body.decode())
        writer.close()

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return answers


def load(
    port: int,
    urls: Callable[[], str],
    requests: int,
    per_second: float | None = None,
) -> Answers:
    """Send requests from all clients.

    Args:
        port: The page's port.
        urls: Returns the address of the next request.
        requests: Number of requests.
        per_second: Rate at which requests are due; ``None`` for as fast as possible.
    """
    return asyncio.run(
        _load(port, urls, lambda sent: sent >= requests, per_second, keep=False)
    )


def measure(accounts: int, requests: int, folder: Path) -> Iterator[Line]:
    """Yield all measurements."""
    marts, serving = folder / "marts.duckdb", folder / "serving.db"
    environment = {
        "CHURN_SERVING_URL": f"sqlite:///{serving}",
        "CHURN_ACTIONS_URL": f"sqlite:///{folder / 'actions.db'}",
    }
    peaks = {}
    for count in (accounts // 4, accounts):
        write_marts(marts, count)
        run = run_command(
            publish_command(marts), environment, stdout=subprocess.DEVNULL
        )
        if run.status:
            raise RuntimeError("churn publish failed")
        peaks[count] = run.peak_bytes
    yield Line(f"publish {accounts:,} accounts", run.seconds, 60, "s")
    yield Line("  in time of CPU", run.cpu_seconds, 60, "s")
    yield Line("  its peak memory", peaks[accounts] / 2**20, 1024, "MB")
    ratio = peaks[accounts] / peaks[accounts // 4]
    yield Line(f"  against {accounts // 4:,} accounts", ratio, 1.5, "times")
    yield Line("  size of the snapshot", serving.stat().st_size / 1e6, 2000, "MB")
    marts.unlink()

    with sqlite3.connect(serving) as connection:
        ids = [
            row[0]
            for row in connection.execute(
                "select account_id from accounts order by random() limit 5000"
            )
        ]
        names = [
            row[0]
            for row in connection.execute(
                "select company_name from accounts order by random() limit 5000"
            )
        ]
    draw = random.Random(7)
    kinds: dict[str, Callable[[], str]] = {
        "list, first page": lambda: "/",
        "list, last page": lambda: "/?last=1",
        "list, some page of a band": lambda: (
            f"/?band=low&sort=probability&after={draw.randint(1, accounts)}"
        ),
        "list, an owner's": lambda: f"/?owner=owner{draw.randint(0, 199)}",
        "search, 3 letters": lambda: "/?q=" + quote(draw.choice(names)[:3]),
        "search, a name": lambda: "/?q=" + quote(draw.choice(names)[:11]),
        "account": lambda: f"/account?id={draw.choice(ids)}",
    }
    with served(environment) as server:
        load(server.port, lambda: draw.choice(list(kinds.values()))(), 200)
        for name, urls in kinds.items():
            before = server.cpu_seconds()
            answers = load(server.port, urls, requests)
            used = (server.cpu_seconds() - before) / requests * 1000
            yield Line(f"{name}: CPU a request", used, 2.5, "ms")
            if answers.failures:
                yield Line("  failed requests", answers.failures, 0, "")
        mixed = list(kinds.values())
        answers = load(server.port, lambda: draw.choice(mixed)(), 10 * 100, 100)
        assert answers.failures == 0
        yield Line("mixed, 100 a second: p50", answers.percentile(0.5), 50, "ms")
        yield Line("mixed, 100 a second: p99", answers.percentile(0.99), 50, "ms")
        yield Line("memory of the process", server.peak_megabytes(), 200, "MB")
        seconds = time_to_table(server.port)
        if seconds is not None:
            yield Line("time to the table in Chromium", seconds, 0.5, "s")


def time_to_table(port: int) -> float | None:
    """Return the median of five loads in Chromium, or ``None`` without Chromium."""
    import shutil

    path = os.environ.get("CHURN_CHROMIUM") or shutil.which("chromium")
    if path is None:
        return None
    from playwright.sync_api import sync_playwright

    times = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox"]
        )
        for _ in range(5):
            context = browser.new_context()
            page = context.new_page()
            started = time.perf_counter()
            page.goto(f"http://127.0.0.1:{port}/", wait_until="commit")
            page.wait_for_selector("tbody tr:last-child")
            times.append(time.perf_counter() - started)
            context.close()
        browser.close()
    return sorted(times)[2]


_PUBLISHER = """
import json, sys
from datetime import date, timedelta
from pathlib import Path
from benchmarks.page import AS_OF, write_marts
from churn.config import Project
from churn.web.publish import publish
folder, publishes = Path(sys.argv[1]), int(sys.argv[2])
marts = folder / "small.duckdb"
project = Project.load(".", ".", database=marts)
for number in range(publishes):
    write_marts(marts, 2000 + number, AS_OF + timedelta(days=number))
    publish(project)
    print(number, flush=True)
"""


def measure_publishes(publishes: int, folder: Path) -> Iterator[Line]:
    """Publish again and again under load; yield what readers noticed."""
    environment = {
        **os.environ,
        "CHURN_SERVING_URL": f"sqlite:///{folder / 'swaps.db'}",
        "CHURN_ACTIONS_URL": f"sqlite:///{folder / 'swaps.actions.db'}",
    }
    publisher = subprocess.Popen(
        [sys.executable, "-c", _PUBLISHER, str(folder), str(publishes)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert publisher.stdout
    publisher.stdout.readline()
    with served(environment) as server:
        answers = asyncio.run(
            _load(
                server.port,
                lambda: "/?size=10",
                lambda _: publisher.poll() is not None,
                None,
                keep=True,
            )
        )
        last = load_one(server.port)
    mixed = 0
    days = []
    for body in answers.bodies:
        day = body.split('<time datetime="')[1].split('"')[0]
        totals = body.split('<p class="totals">')[1]
        count = int(totals.split("<strong>")[1].split("<")[0].replace(",", ""))
        days.append(day)
        # Each snapshot has one account more than the one of the day before.
        mixed += day != (AS_OF + timedelta(days=count - 2000)).isoformat()
    newest = (AS_OF + timedelta(days=publishes - 1)).isoformat()
    yield Line(f"{publishes} publishes: requests", len(answers.seconds), 0, "")
    yield Line("  snapshots that readers saw", len(set(days)), 0, "")
    yield Line("  failed requests", answers.failures, 0, "")
    yield Line("  pages of two snapshots", mixed, 0, "")
    yield Line("  stale pages afterwards", int(newest not in last), 0, "")


def load_one(port: int) -> str:
    """Return one page."""
    answers = asyncio.run(
        _load(port, lambda: "/?size=10", lambda sent: sent >= 1, None, keep=True)
    )
    return answers.bodies[0]


_WRITER = """
import sys
from datetime import datetime, UTC
import sqlalchemy as sa
from churn.web.actions import ActionStore, check_action, new_form_id
store = ActionStore(sa.make_url(sys.argv[1]))
while True:
    action = check_action(
        {"action_type": "contacted", "form_id": new_form_id()},
        "a", sys.argv[2], datetime.now(UTC), {},
    )
    store.record(action)
    print(action.action_id, flush=True)
"""


def measure_writers(kills: int, folder: Path) -> Iterator[Line]:
    """Kill two writers again and again; yield what was lost or stored twice."""
    path = folder / "killed.db"
    acknowledged: list[str] = []
    for _ in range(kills):
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", _WRITER, f"sqlite:///{path}", name],
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
            )
            for name in ("anna", "berta")
        ]
        for writer in writers:
            assert writer.stdout
            acknowledged += [writer.stdout.readline().strip() for _ in range(40)]
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
            rest = writer.communicate()[0].split("\n")
            acknowledged += [line for line in rest if len(line) == 36]
    with sqlite3.connect(path) as connection:
        stored = [
            row[0]
            for row in connection.execute("select action_id from retention_actions")
        ]
    lost = len(set(acknowledged) - set(stored))
    yield Line(f"{kills} kills of two writers: acknowledged", len(acknowledged), 0, "")
    yield Line("  lost", lost, 0, "")
    yield Line("  stored twice", len(stored) - len(set(stored)), 0, "")


def print_page(accounts: int, requests: int, publishes: int) -> None:
    """Measure and print the table."""
    print(f"\nWeb page, {accounts:,} accounts with 12 scores each, {CLIENTS} clients")
    print(f"{'':<44}{'measured':>12}{'at most':>10}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for lines in (
            measure(accounts, requests, folder),
            measure_publishes(publishes, folder),
            measure_writers(5, folder),
        ):
            for line in lines:
                bound = f"{line.bound:g}" if line.unit else ""
                print(
                    f"{line.name:<44}{line.value:>12,.2f}{bound:>10} {line.unit}",
                    flush=True,
                )
