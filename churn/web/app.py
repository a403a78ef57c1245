"""The web page for sales and marketing: ``churn serve``.

Reads the serving snapshot and the store of actions, and renders plain HTML. Works
without JavaScript; the one script adds keys.
"""

from __future__ import annotations

import gzip
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import parse_qsl, quote, urlencode

import anyio
import anyio.to_thread
import jinja2
import sqlalchemy as sa
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
)
from starlette.routing import Route

from churn.config import UserError
from churn.operations.freshness import freshness
from churn.web import charts, exports
from churn.web.actions import (
    ACTION_TYPES,
    CHANNELS,
    EXPORTED,
    Action,
    ActionError,
    ActionStore,
    Latest,
    check_action,
    new_form_id,
)
from churn.web.formats import Formats, formats_for
from churn.web.guard import BodyTooLargeError, Guard, Metrics
from churn.web.outcomes import STATUSES, experiments_of
from churn.web.rows import account_url, band, change, list_rows, name_of
from churn.web.settings import PageSettings
from churn.web.snapshot import (
    Filters,
    QueryError,
    Reader,
    SnapshotError,
    Snapshots,
    open_snapshots,
)

PAGE_SIZE = 50
MAX_PAGE_SIZE = 200
MAX_EXPORT_ROWS = 100_000
MAX_QUERY = 100
QUIET_DAYS = 30
SORTS = {
    "revenue": "revenue at risk",
    "probability": "churn probability",
    "change": "biggest rise",
}
BANDS = ("high", "medium", "low")
# Parts of the address that make up a view.
VIEW_FIELDS = ("mine", "owner", "band", "offer", "quiet", "rising", "snoozed", "sort")
# Pages that a form may return to.
_BACK = re.compile(r"^/(account|log)?(\?[^\s\\]*)?$")

HERE = Path(__file__).parent
log = logging.getLogger("churn.web")

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the time in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class View:
    """What a list shows: filters, order and position, all from the address.

    Attributes:
        filters: Filters on columns of the snapshot.
        is_mine: Whether only the actor's own accounts are shown.
        is_quiet: Whether only accounts without a contact in 30 days are shown.
        with_snoozed: Whether snoozed accounts are shown too.
        query: The text of a search; empty for a list.
        after: Rank after which the page starts.
        before: Rank before which the page ends; ``None`` for pages by ``after``.
        is_last: Whether this is the last page.
        size: Accounts per page.
    """

    filters: Filters
    is_mine: bool = False
    is_quiet: bool = False
    with_snoozed: bool = False
    query: str = ""
    after: int = 0
    before: int | None = None
    is_last: bool = False
    size: int = PAGE_SIZE

    def fields(self, **changes: Any) -> dict[str, str]:
        """Return the fields of the address, with changes; ``None`` removes one."""
        filters = self.filters
        fields: dict[str, Any] = {
            "q": self.query,
            "mine": "1" if self.is_mine else "",
            "owner": "" if self.is_mine else filters.owner_id,
            "band": filters.band,
            "offer": filters.offer_id,
            "quiet": "1" if self.is_quiet else "",
            "rising": "1" if filters.is_rising else "",
            "snoozed": "1" if self.with_snoozed else "",
            "sort": filters.sort if filters.sort != "revenue" else "",
            "size": str(self.size) if self.size != PAGE_SIZE else "",
        } | changes
        return {name: str(value) for name, value in fields.items() if value}

    def url(self, path: str = "/", **changes: Any) -> str:
        """Return an address of this view with changes."""
        fields = self.fields(**changes)
        return f"{path}?{urlencode(fields)}" if fields else path


def read_view(fields: Mapping[str, str], actor: str, own_only: bool) -> View:
    """Read a view from the address; invalid values are ignored."""
    is_mine = fields.get("mine") == "1" or own_only
    band = fields.get("band")
    sort = fields.get("sort", "revenue")
    size = _number(fields.get("size"), PAGE_SIZE)
    return View(
        filters=Filters(
            owner_id=actor if is_mine else fields.get("owner") or None,
            band=band if band in BANDS else None,
            offer_id=fields.get("offer") or None,
            is_rising=fields.get("rising") == "1",
            sort=sort if sort in SORTS else "revenue",
        ),
        is_mine=is_mine,
        is_quiet=fields.get("quiet") == "1",
        with_snoozed=fields.get("snoozed") == "1",
        query=fields.get("q", "").replace("\x00", "").strip()[:MAX_QUERY],
        after=_number(fields.get("after"), 0),
        before=_number(fields.get("before"), 0) or None,
        is_last=fields.get("last") == "1",
        size=min(max(size, 1), MAX_PAGE_SIZE),
    )


def _number(text: str | None, default: int) -> int:
    if text and text.isascii() and text.isdecimal() and len(text) < 10:
        return int(text)
    return default


class Page:
    """The application: its stores, templates and handlers.

    Args:
        settings: Settings of the page.
        clock: Returns the time in UTC.
    """

    def __init__(self, settings: PageSettings, clock: Clock = utc_now) -> None:
        self.settings = settings
        self.clock = clock
        self.snapshots: Snapshots = open_snapshots(settings.serving)
        self.actions = ActionStore(settings.actions)
        self.metrics = Metrics()
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=jinja2.StrictUndefined,
            auto_reload=False,
        )
        self._templates.filters["capitalize_first"] = lambda text: (
            text[:1].upper() + text[1:]
        )
        self._templates.globals |= {
            "action_names": ACTION_TYPES,
            "channels": CHANNELS,
            "sorts": SORTS,
            "bands": BANDS,
            "bar": charts.bar,
            "band": band,
            "change": change,
            "account_url": account_url,
            "name_of": name_of,
            "crm_url": self._crm_url,
        }
        self._static = {
            path.name: (
                path.read_bytes(),
                gzip.compress(path.read_bytes(), mtime=0),
                _MEDIA_TYPES[path.suffix],
            )
            for path in (HERE / "static").iterdir()
            if path.suffix in _MEDIA_TYPES
        }

    # ---- Rendering ------------------------------------------------------------

    def _render(
        self,
        request: Request,
        template: str,
        reader: Reader | None,
        status: int = 200,
        **values: Any,
    ) -> HTMLResponse:
        formats = formats_of(request)
        meta = reader.meta if reader else None
        now = self.clock()
        html = self._templates.get_template(template).render(
            f=formats,
            now=now,
            today=now.date(),
            meta=meta,
            fresh=freshness(meta, now) if meta else None,
            actor=request.scope.get("churn.actor", ""),
            may_act=request.scope.get("churn.may_act", False),
            is_local=not self.settings.is_authenticated,
            own_only=self.settings.own_accounts_only,
            path=request.url.path,
            **values,
        )
        return HTMLResponse(html, status_code=status)

    def _crm_url(self, account_id: str) -> str | None:
        template = self.settings.crm_url
        if template is None:
            return None
        return template.replace("{account_id}", quote(account_id, safe=""))

    def _message(
        self,
        request: Request,
        status: int,
        title: str,
        text: str,
        reader: Reader | None = None,
        accounts: Iterable[Any] = (),
    ) -> HTMLResponse:
        return self._render(
            request,
            "message.html",
            reader,
            status,
            title=title,
            text=text,
            accounts=list(accounts),
        )

    def _latest(self) -> tuple[Mapping[str, Latest], bool]:
        """Return the latest actions, and whether their store can be read."""
        try:
            return self.actions.latest(), True
        except (UserError, sa.exc.SQLAlchemyError):
            log.exception("The store of actions cannot be read")
            return {}, False

    def _view(self, request: Request) -> View:
        return read_view(
            request.query_params,
            request.scope["churn.actor"],
            self.settings.own_accounts_only,
        )

    # ---- Pages ----------------------------------------------------------------

    def list_accounts(self, request: Request) -> Response:
        """Show accounts at risk, or the results of a search."""
        view = self._view(request)
        latest, is_readable = self._latest()
        with self.snapshots.open() as reader:
            is_cut = False
            if view.query:
                own = view.filters.owner_id if view.is_mine else None
                rows, is_cut = reader.search(view.query, own, view.size)
                older = newer = None
                totals = None
            else:
                rows, has_before, has_after = self._page(reader, view, latest)
                rank = view.filters.rank
                newer = (
                    view.url(before=getattr(rows[0], rank))
                    if has_before and rows
                    else None
                )
                older = (
                    view.url(after=getattr(rows[-1], rank))
                    if has_after and rows
                    else None
                )
                totals = reader.totals(view.filters)
            return self._render(
                request,
                "list.html",
                reader,
                view=view,
                rows=rows,
                table_rows=list_rows(
                    rows,
                    latest,
                    formats_of(request),
                    self.clock().date(),
                    urlencode(view.fields()),
                    request.scope["churn.may_act"] and is_readable,
                ),
                is_cut=is_cut,
                totals=totals,
                newer=newer,
                older=older,
                can_record=is_readable,
                filters_form=self._filters_form(reader, view),
                form_id=new_form_id(),
                done=self._done(request, reader),
                back=_path_of(request),
            )

    def _filters_form(self, reader: Reader, view: View) -> Markup:
        """Return the form of a list's filters, which depends on few values."""
        own_only = self.settings.own_accounts_only

        def compute() -> Markup:
            template = self._templates.get_template("filters.html")
            return Markup(
                template.render(
                    view=view,
                    filters=view.filters,
                    owners=reader.owners(),
                    offers=reader.offers(),
                    has_change=reader.meta["has_change"],
                    own_only=own_only,
                )
            )

        key = replace(view, query="", after=0, before=None, is_last=False, size=0)
        return reader.cached(("filters", key), compute)

    def _page(
        self, reader: Reader, view: View, latest: Mapping[str, Latest]
    ) -> tuple[list[Any], bool, bool]:
        """Return the rows of a page, and whether there are rows before and after it.

        Accounts that the view hides because of an action are left out, and the page is
        filled up from the next ranks.
        """
        is_hidden = self._hidden(view, latest)
        rank = view.filters.rank
        backwards = view.is_last or view.before is not None
        cursor = (1 << 31) - 1 if view.is_last else view.before or view.after
        kept: list[Any] = []
        for _ in range(40):
            wanted = view.size + 1 - len(kept)
            rows = (
                reader.accounts(view.filters, before=cursor, limit=wanted)
                if backwards
                else reader.accounts(view.filters, after=cursor, limit=wanted)
            )
            visible = [row for row in rows if not is_hidden(row.account_id)]
            kept = [*visible, *kept] if backwards else [*kept, *visible]
            if len(rows) < wanted or len(kept) > view.size:
                break
            cursor = getattr(rows[0 if backwards else -1], rank)
        has_more = len(kept) > view.size
        if backwards:
            return kept[-view.size :], has_more, not view.is_last
        return kept[: view.size], view.after > 0, has_more

    def _hidden(
        self, view: View, latest: Mapping[str, Latest]
    ) -> Callable[[str], bool]:
        """Return a function that says whether a view hides an account."""
        today = self.clock().date()
        since = (today - timedelta(days=QUIET_DAYS)).isoformat()
        hidden = {
            account_id
            for account_id, state in latest.items()
            if (
                not view.with_snoozed
                and state.snoozed_until is not None
                and state.snoozed_until > today.isoformat()
            )
            or (
                view.is_quiet
                and state.contacted_at is not None
                and state.contacted_at[:10] >= since
            )
        }
        return hidden.__contains__

    def _done(self, request: Request, reader: Reader) -> dict[str, Any] | None:
        """Return the action that was just recorded, read back from the store."""
        action_id = request.query_params.get("done")
        if not action_id or len(action_id) > 40:
            return None
        try:
            action = self.actions.find(action_id)
        except (UserError, sa.exc.SQLAlchemyError):
            return None
        if action is None:
            return None
        account = reader.account(action.account_id)
        return {
            "action": action,
            "name": name_of(account, action.account_id),
        }

    def show_account(self, request: Request) -> Response:
        """Show one account."""
        account_id = request.query_params.get("id", "")
        view = read_view(
            dict(parse_qsl(request.query_params.get("list", ""))),
            request.scope["churn.actor"],
            self.settings.own_accounts_only,
        )
        with self.snapshots.open() as reader:
            row = self._own_account(request, reader, account_id)
            if row is None:
                return self._not_found(request, reader, account_id)
            actions = self._actions_of(account_id)
            rank = view.filters.rank
            position = getattr(row, rank)
            before = reader.accounts(view.filters, before=position, limit=1)
            after = reader.accounts(view.filters, after=position, limit=1)
            sections = reader.sections(account_id)
            decisions = reader.decisions(account_id)
            decision = (
                reader.decision(account_id, decisions[0][0], decisions[0][1])
                if decisions
                else None
            )
            history = self._history(sections, decisions)
            formats = formats_of(request)
            weeks = _weeks(sections.get("sessions", []), reader.meta["as_of_date"])
            return self._render(
                request,
                "account.html",
                reader,
                row=row,
                view=view,
                back_to_list=view.url(),
                list_query=urlencode(view.fields()),
                previous=before[0] if before else None,
                following=after[0] if after else None,
                actions=actions or [],
                can_record=actions is not None,
                state=self._latest()[0].get(account_id),
                history=history,
                history_chart=charts.score_chart(
                    history,
                    _action_days(actions or [], history),
                    reader.meta["medium_risk_from"],
                    reader.meta["high_risk_from"],
                    f"Churn probability over time, now "
                    f"{formats.percent(row.churn_probability)}",
                    formats.date,
                ),
                weeks=weeks,
                week_chart=charts.week_chart(
                    [(week, visits) for week, visits, *_ in weeks],
                    "Visits per week",
                    formats.date,
                ),
                timeline=_timeline(sections, actions or []),
                control_until=sections.get("control", [[""]])[0][0] or None,
                decision=decision,
                decisions=decisions,
                features=self._features(reader),
                form_id=new_form_id(),
                done=self._done(request, reader),
                back=_path_of(request),
            )

    def _own_account(
        self, request: Request, reader: Reader, account_id: str
    ) -> Any | None:
        """Return an account that the actor may see."""
        row = reader.account(account_id) if account_id else None
        if (
            row is not None
            and self.settings.own_accounts_only
            and row.owner_id != request.scope["churn.actor"]
        ):
            return None
        return row

    def _not_found(
        self, request: Request, reader: Reader, account_id: str
    ) -> HTMLResponse:
        similar = [
            row
            for row in reader.similar(account_id[:MAX_QUERY])
            if not self.settings.own_accounts_only
            or row.owner_id == request.scope["churn.actor"]
        ]
        return self._message(
            request,
            404,
            "No such account",
            f"There is no account {account_id[:MAX_QUERY]} among the scored ones. It "
            "may have churned, or never have been a customer."
            + (" Did you mean one of these?" if similar else ""),
            reader,
            similar,
        )

    def _actions_of(self, account_id: str) -> list[Any] | None:
        """Return an account's actions, ``None`` if the store cannot be read."""
        try:
            return self.actions.of_account(account_id, with_corrected=True)
        except (UserError, sa.exc.SQLAlchemyError):
            log.exception("The store of actions cannot be read")
            return None

    @staticmethod
    def _history(
        sections: Mapping[str, list[list[str]]], decisions: Sequence[Any]
    ) -> list[charts.Point]:
        """Return the given scores, and today's model replayed on the other days."""
        points = {
            fields[0]: charts.Point(
                date.fromisoformat(fields[0][:10]), float(fields[1]), fields[2], True
            )
            for fields in sections.get("history", [])
            if len(fields) == 3 and fields[1]
        }
        for row in decisions:
            if row.is_replayed and row.as_of_date not in points:
                points[row.as_of_date] = charts.Point(
                    date.fromisoformat(row.as_of_date),
                    row.churn_probability,
                    row.model_version,
                    False,
                )
        return sorted(points.values(), key=lambda point: point.day)

    def _features(self, reader: Reader) -> dict[str, dict[str, Any]]:
        return reader.cached(
            "features",
            lambda: {row["feature"]: row for row in reader.table("feature_dictionary")},
        )

    def show_decision(self, request: Request) -> Response:
        """Show how a score was computed."""
        account_id = request.query_params.get("id", "")
        with self.snapshots.open() as reader:
            row = self._own_account(request, reader, account_id)
            if row is None:
                return self._not_found(request, reader, account_id)
            decisions = reader.decisions(account_id)
            # One field of the form carries both: "2026-01-01 MODEL".
            day, _, model = request.query_params.get("score", "").partition(" ")
            chosen = next(
                (
                    each
                    for each in decisions
                    if each.as_of_date == day
                    and each.model_version == (model or each.model_version)
                ),
                decisions[0] if decisions and not day else None,
            )
            if chosen is None:
                return self._message(
                    request,
                    404,
                    "This score is not explained here",
                    "Decision paths are published for the "
                    f"{reader.meta['detail_accounts']:,} accounts with the highest "
                    "risk, for the last half year. `churn explain` prints the others.",
                    reader,
                    [row],
                )
            body = reader.decision(account_id, chosen.as_of_date, chosen.model_version)
            return self._render(
                request,
                "decision.html",
                reader,
                row=row,
                chosen=chosen,
                decisions=decisions,
                decision=body,
                features=self._features(reader),
            )

    def show_outcomes(self, request: Request) -> Response:
        """Show past scores against what happened, and the experiment's results."""
        formats = formats_of(request)
        with self.snapshots.open() as reader:
            kept = reader.table("kept_after_offer")
            return self._render(
                request,
                "outcomes.html",
                reader,
                outcomes=reader.table("score_outcomes"),
                experiments=experiments_of(
                    reader.table("experiment_results"),
                    lambda value: formats.number(value * 100, 1),
                ),
                statuses=STATUSES,
                kept=kept[0]["accounts"] if kept else 0,
            )

    def show_model(self, request: Request) -> Response:
        """Show the model that scores, beside its baselines."""
        with self.snapshots.open() as reader:
            models = reader.table("churn_models")
            version = reader.meta["model_version"]
            return self._render(
                request,
                "model.html",
                reader,
                models=models,
                model=next(
                    (each for each in models if each["model_version"] == version), None
                ),
                metrics=_metrics(reader.table("churn_model_metrics"), version),
                features=list(self._features(reader).values()),
                has_card=reader.document("model_card") is not None,
            )

    def show_model_card(self, request: Request) -> Response:
        """Show the model card, which brings its own styles."""
        with self.snapshots.open() as reader:
            body = reader.document("model_card")
            if body is None:
                return self._message(
                    request,
                    404,
                    "No model card",
                    "No model card was published: run `churn report` for its reason.",
                    reader,
                )
        return HTMLResponse(
            body,
            headers={
                "content-security-policy": "default-src 'none'; "
                "style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
            },
        )

    def show_log(self, request: Request) -> Response:
        """Show the newest actions."""
        with self.snapshots.open() as reader:
            try:
                rows = self.actions.recent(200)
            except (UserError, sa.exc.SQLAlchemyError):
                return self._message(
                    request,
                    503,
                    "Actions cannot be read",
                    "The store of actions cannot be used at the moment. The scores are "
                    "not affected.",
                    reader,
                )
            known = reader.by_ids(sorted({row.account_id for row in rows}))
            if self.settings.own_accounts_only:
                actor = request.scope["churn.actor"]
                rows = [
                    row
                    for row in rows
                    if row.account_id in known
                    and known[row.account_id].owner_id == actor
                ]
            corrected = {row.corrects_action_id for row in rows}
            return self._render(
                request,
                "log.html",
                reader,
                rows=rows,
                known=known,
                corrected=corrected,
                form_id=new_form_id(),
                back=_path_of(request),
                done=self._done(request, reader),
            )

    def show_help(self, request: Request) -> Response:
        """Explain the page, its words and its keys."""
        try:
            with self.snapshots.open() as reader:
                return self._render(request, "help.html", reader)
        except SnapshotError:
            return self._render(request, "help.html", None)

    # ---- Exports --------------------------------------------------------------

    def export(self, request: Request) -> Response:
        """Return all accounts of a view as CSV or JSON lines, and log that."""
        is_csv = request.url.path.endswith(".csv")
        view = replace(self._view(request), query="")
        latest, _ = self._latest()
        is_hidden = self._hidden(view, latest)
        with self.snapshots.open() as reader:
            rows: list[Any] = []
            cursor = 0
            while len(rows) < MAX_EXPORT_ROWS:
                part = reader.accounts(view.filters, after=cursor, limit=5_000)
                rows += [row for row in part if not is_hidden(row.account_id)]
                if len(part) < 5_000:
                    break
                cursor = getattr(part[-1], view.filters.rank)
            meta = reader.meta
        now = self.clock()
        try:
            self.actions.record(
                Action(
                    action_id=new_form_id(),
                    account_id="*",
                    action_type=EXPORTED,
                    actor_id=request.scope["churn.actor"],
                    occurred_at=now.isoformat(timespec="milliseconds"),
                    recorded_at=now.isoformat(timespec="milliseconds"),
                    note=f"{len(rows)} accounts: {urlencode(view.fields())}"[:500],
                    shown_as_of_date=meta["as_of_date"],
                    shown_model_version=meta["model_version"],
                )
            )
        except (UserError, sa.exc.SQLAlchemyError):
            return self._message(
                request,
                503,
                "The export was not made",
                "Exports are logged, and the log cannot be written at the moment: try "
                "again later.",
            )
        self.metrics.count_action(EXPORTED)
        write = exports.as_csv if is_csv else exports.as_json_lines
        name = f"accounts-at-risk-{meta['as_of_date']}.{'csv' if is_csv else 'jsonl'}"
        return Response(
            write(rows[:MAX_EXPORT_ROWS], meta["as_of_date"]),
            media_type="text/csv; charset=utf-8" if is_csv else "application/jsonl",
            headers={"content-disposition": f'attachment; filename="{name}"'},
        )

    # ---- Actions --------------------------------------------------------------

    async def record(self, request: Request) -> Response:
        """Record an action, then show the page that it was sent from."""
        form = await request.form(max_files=0, max_fields=40)
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
        return await run_in_threadpool(self._record, request, fields)

    def _record(self, request: Request, form: dict[str, str]) -> Response:
        # A button of a list carries both: "offer_made:ACCOUNT".
        if "do" in form:
            form["action_type"], _, form["account_id"] = form["do"].partition(":")
        account_id = form.get("account_id", "")
        with self.snapshots.open() as reader:
            row = self._own_account(request, reader, account_id)
            if row is None:
                return self._not_found(request, reader, account_id)
            meta = reader.meta
            try:
                action = check_action(
                    {"offer_id": row.offer_id or "", **form},
                    account_id,
                    request.scope["churn.actor"],
                    self.clock(),
                    {
                        "as_of_date": meta["as_of_date"],
                        "model_version": row.model_version,
                        "arm": row.arm,
                    },
                )
                if action.corrects_action_id is not None:
                    self._check_correction(action)
                is_new = self.actions.record(action)
            except ActionError as error:
                return self._message(
                    request, 422, "Not recorded", str(error), reader, [row]
                )
            except (UserError, sa.exc.SQLAlchemyError):
                log.exception("An action cannot be stored")
                return self._message(
                    request,
                    503,
                    "Not recorded",
                    "The store of actions cannot be written at the moment. Go back and "
                    "send the form again: it is recorded once.",
                    reader,
                    [row],
                )
        if is_new:
            self.metrics.count_action(action.action_type)
        return RedirectResponse(
            _with_done(form.get("back", ""), action.action_id), status_code=303
        )

    def _check_correction(self, action: Action) -> None:
        corrected = self.actions.find(action.corrects_action_id or "")
        if corrected is None or corrected.account_id != action.account_id:
            raise ActionError("The action to correct does not exist: reload the page.")
        if corrected.action_type == "correction":
            raise ActionError(
                "A correction cannot be corrected: record the action again."
            )

    # ---- Operation ------------------------------------------------------------

    def healthz(self, _request: Request) -> Response:
        """Say that the process answers."""
        return PlainTextResponse("ok\n")

    def readyz(self, _request: Request) -> Response:
        """Say whether there is a snapshot and a store of actions."""
        problems = []
        try:
            with self.snapshots.open():
                pass
        except SnapshotError as error:
            problems.append(f"snapshot: {error.kind}")
        if not self._latest()[1]:
            problems.append("actions: unavailable")
        status = 503 if problems else 200
        return PlainTextResponse("\n".join(problems or ["ok"]) + "\n", status)

    def show_metrics(self, _request: Request) -> Response:
        """Return metrics for Prometheus."""
        gauges: dict[str, float] = {"snapshot_readable": 0}
        try:
            with self.snapshots.open() as reader:
                now = self.clock()
                fresh = freshness(reader.meta, now)
                gauges = {
                    "snapshot_readable": 1,
                    "snapshot_age_seconds": fresh.snapshot_age.total_seconds(),
                    "scores_age_days": fresh.scores_age_days,
                    "accounts": reader.meta["accounts"],
                    "late_sources": len(fresh.late),
                }
        except SnapshotError:
            pass
        return PlainTextResponse(
            self.metrics.text(gauges), media_type="text/plain; version=0.0.4"
        )

    def static(self, request: Request) -> Response:
        """Return a file of the page."""
        found = self._static.get(request.path_params["name"])
        if found is None:
            return PlainTextResponse("Not found\n", 404)
        body, packed, media_type = found
        headers = {"cache-control": "public, max-age=3600", "vary": "accept-encoding"}
        if "gzip" in request.scope["churn.headers"].get("accept-encoding", ""):
            body = packed
            headers["content-encoding"] = "gzip"
        return Response(body, media_type=media_type, headers=headers)

    def routes(self) -> list[Route]:
        """Return the routes."""

        def route(path: str, name: str, handler: Any) -> Route:
            return Route(path, _in_turn(name, handler))

        return [
            route("/", "list", self.list_accounts),
            route("/account", "account", self.show_account),
            route("/decision", "decision", self.show_decision),
            route("/outcomes", "outcomes", self.show_outcomes),
            route("/model", "model", self.show_model),
            route("/model/card", "model_card", self.show_model_card),
            route("/log", "log", self.show_log),
            route("/help", "help", self.show_help),
            Route("/accounts.csv", _in_own_thread("export", self.export)),
            Route("/accounts.jsonl", _in_own_thread("export", self.export)),
            Route("/actions", _named_async("record", self.record), methods=["POST"]),
            Route("/static/{name}", _at_once("static", self.static)),
            Route("/healthz", _at_once("health", self.healthz)),
            route("/readyz", "health", self.readyz),
            route("/metrics", "metrics", self.show_metrics),
        ]

    async def on_snapshot_error(self, request: Request, error: Exception) -> Response:
        """Explain why there is nothing to show."""
        kind = error.kind if isinstance(error, SnapshotError) else "unreadable"
        title, text = {
            "missing": (
                "No scores have been published yet",
                "After the first build, `churn publish` writes them here. Scores "
                "appear as soon as a model could be trained.",
            ),
            "version": ("The published scores do not fit this version", str(error)),
        }.get(
            kind,
            (
                "The published scores cannot be read",
                "The person on call should look at the log of this page and run `churn "
                "publish` again. Actions that were recorded are safe.",
            ),
        )
        log.error("No snapshot: %s", error)
        return self._message(request, 503, title, text)

    async def on_database_error(self, request: Request, error: Exception) -> Response:
        """Explain that a query failed or took too long."""
        log.error("A query failed: %s", error)
        return self._message(
            request,
            503,
            "This took too long",
            "The scores could not be read in time. Use fewer filters, or try again.",
        )

    async def on_missing_page(self, request: Request, error: Exception) -> Response:
        """Explain that there is no such page."""
        status = getattr(error, "status_code", 404)
        if status == 405:
            return self._message(
                request, 405, "Not supported", "This address takes other requests."
            )
        return self._message(
            request, 404, "No such page", "The address is not one of this page's."
        )

    async def on_large_form(self, request: Request, _error: Exception) -> Response:
        """Explain that a form is larger than it said."""
        return self._message(
            request, 413, "Not recorded", "The form is too large: shorten it."
        )

    async def on_error(self, request: Request, _error: Exception) -> Response:
        """Explain that something went wrong here."""
        return self._message(
            request,
            500,
            "Something went wrong",
            "The error is in the log of this page. Try again, and tell the person on "
            "call if it stays.",
        )


_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def _in_turn(name: str, handler: Callable[[Request], Response]) -> Any:
    """Return an endpoint that runs in a thread, one request after the other.

    Threads would take Python's lock from each other at every row that SQLite returns,
    which doubles the CPU time of a request. A query ends after `QUERY_SECONDS`.
    """

    async def endpoint(request: Request) -> Response:
        request.scope["churn.route"] = name
        turns = anyio.to_thread.current_default_thread_limiter()
        turns.total_tokens = 1
        return await anyio.to_thread.run_sync(handler, request, limiter=turns)

    return endpoint


def _in_own_thread(name: str, handler: Callable[[Request], Response]) -> Any:
    """Return an endpoint that takes seconds, and keeps no page waiting."""

    async def endpoint(request: Request) -> Response:
        request.scope["churn.route"] = name
        turns = anyio.CapacityLimiter(1)
        return await anyio.to_thread.run_sync(handler, request, limiter=turns)

    return endpoint


def _at_once(name: str, handler: Callable[[Request], Response]) -> Any:
    """Return an endpoint that reads no store, and waits for none."""

    async def endpoint(request: Request) -> Response:
        request.scope["churn.route"] = name
        return handler(request)

    return endpoint


def _named_async(name: str, handler: Any) -> Any:
    async def endpoint(request: Request) -> Response:
        request.scope["churn.route"] = name
        return await handler(request)

    return endpoint


def create_app(
    settings: PageSettings, clock: Clock = utc_now, access_log: TextIO | None = None
) -> Guard:
    """Return the ASGI application.

    Args:
        settings: Settings of the page.
        clock: Returns the time in UTC.
        access_log: Where access lines are written; ``None`` for nowhere.
    """
    page = Page(settings, clock)
    app = Starlette(
        routes=page.routes(),
        exception_handlers={
            SnapshotError: page.on_snapshot_error,
            QueryError: page.on_database_error,
            sa.exc.OperationalError: page.on_database_error,
            404: page.on_missing_page,
            405: page.on_missing_page,
            BodyTooLargeError: page.on_large_form,
            Exception: page.on_error,
        },
    )
    # It would name the scheme and host of this process, not those of the proxy.
    app.router.redirect_slashes = False
    return Guard(app, settings, page.metrics, access_log)


def formats_of(request: Request) -> Formats:
    """Return the formats for the request's browser."""
    return formats_for(request.scope["churn.headers"].get("accept-language", ""))


def _path_of(request: Request) -> str:
    """Return the request's address without what was done before."""
    fields = [(k, v) for k, v in request.query_params.multi_items() if k != "done"]
    query = urlencode(fields)
    return f"{request.url.path}?{query}" if query else request.url.path


def _with_done(back: str, action_id: str) -> str:
    """Return the address to return to, which is one of our own."""
    if len(back) > 2_000 or not _BACK.match(back):
        back = "/"
    return f"{back}{'&' if '?' in back else '?'}done={action_id}"


def _weeks(
    sessions: Sequence[Sequence[str]], as_of_date: str
) -> list[tuple[date, int, int, int, int]]:
    """Return visits, page views, hovers and clicks of each week, without gaps."""
    known = {
        date.fromisoformat(fields[0][:10]): tuple(
            int(float(value or 0)) for value in fields[1:5]
        )
        for fields in sessions
        if len(fields) == 5
    }
    if not known:
        return []
    weeks = []
    week, end = min(known), date.fromisoformat(as_of_date)
    while week < end:
        visits, views, hovers, clicks = known.get(week, (0, 0, 0, 0))
        weeks.append((week, visits, views, hovers, clicks))
        week += timedelta(weeks=1)
    return weeks


@dataclass(frozen=True)
class Event:
    """One line of a timeline."""

    day: str
    kind: str
    text: str
    detail: str = ""


def _timeline(
    sections: Mapping[str, list[list[str]]], actions: Sequence[Any]
) -> list[Event]:
    """Return calls, invoices, changes and actions by day, newest first."""
    events = []
    for fields in sections.get("calls", []):
        topic = (fields[1] or "unknown topic").replace("_", " ")
        minutes = round(float(fields[2] or 0) / 60)
        events.append(Event(fields[0], "call", f"Call about {topic}", f"{minutes} min"))
    for fields in sections.get("invoices", []):
        events.append(
            Event(fields[0], "invoice", f"Invoice {fields[1] or 'due'}", fields[2])
        )
    previous: list[str] | None = None
    for fields in sections.get("changes", []):
        text = _change_text(previous, fields)
        previous = fields if fields[1] != "vanished" else previous
        if text:
            events.append(Event(fields[0], "change", text))
    for number, fields in enumerate(sections.get("periods", []), start=1):
        if fields[0]:
            text = "Became a customer" if number == 1 else "Became a customer again"
            events.append(Event(fields[0], "period", text))
        if fields[1]:
            events.append(
                Event(fields[1], "period", f"Cancelled ({fields[2] or 'unknown'})")
            )
    for fields in sections.get("actions", []):
        kind = ACTION_TYPES.get(fields[1], fields[1])
        events.append(Event(fields[0], "action", kind, fields[2]))
    for action in actions:
        events.append(
            Event(
                action.occurred_at[:10],
                "action",
                ACTION_TYPES.get(action.action_type, action.action_type),
                action.actor_id,
            )
        )
    return sorted(events, key=lambda event: event.day, reverse=True)


def _change_text(previous: Sequence[str] | None, fields: list[str]) -> str:
    """Return what changed in a CRM batch, empty if nothing that is shown did."""
    # An unreadable value says nothing about a change.
    known = [
        value or (previous[i] if previous else "") for i, value in enumerate(fields)
    ]
    fields[:] = known
    kind, plan, seats, revenue = fields[1:5]
    if kind == "vanished":
        return "Missing from the CRM batch"
    if previous is None or kind == "arrived":
        return f"First in the CRM: plan {plan or 'unknown'}, {seats or '?'} seats"
    changes = []
    if plan != previous[2]:
        changes.append(f"plan {previous[2] or 'unknown'} to {plan or 'unknown'}")
    if seats != previous[3]:
        changes.append(f"seats {previous[3] or '?'} to {seats or '?'}")
    if revenue != previous[4] and not changes:
        changes.append(f"revenue {previous[4] or '?'} to {revenue or '?'} a month")
    text = ", ".join(changes)
    return text[:1].upper() + text[1:]


def _action_days(
    actions: Sequence[Any], history: Sequence[charts.Point]
) -> list[tuple[date, str]]:
    """Return days and names of the actions that a chart marks."""
    if not history:
        return []
    first = history[0].day
    days = []
    for action in actions:
        day = date.fromisoformat(action.occurred_at[:10])
        # The clock may be months after the last score of a demo company.
        if first <= day <= history[-1].day + timedelta(days=60):
            name = ACTION_TYPES.get(action.action_type, action.action_type)
            days.append((day, name))
    return days


def _metrics(
    rows: Sequence[Mapping[str, Any]], version: str
) -> dict[str, dict[str, Any]]:
    """Return the metrics of a model by predictor, of the best held-out part."""
    own = [row for row in rows if row["model_version"] == version]
    parts = {row["split"] for row in own}
    part = next((p for p in ("test", "validation", "train") if p in parts), None)
    result: dict[str, dict[str, Any]] = {"part": {"name": part}}
    for row in own:
        if row["split"] == part:
            result.setdefault(row["predictor"], {})[row["metric"]] = row
    return result
