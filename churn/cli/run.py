"""``churn run``."""

from __future__ import annotations

import time

import click

from churn.cli.load import show_load_report
from churn.cli.options import (
    demo_size_options,
    load_demo_project,
    shared_options,
)
from churn.cli.summary import show_summary


@click.command("run")
@demo_size_options
@shared_options
@click.pass_context
def command(ctx: click.Context, accounts: int, days: int, seed: int) -> int:
    """Build a demo company and show the result.

    Generates the company's files, with a sales team in the last quarter, loads them,
    runs `dbt build`, prints the summary and publishes the scores to the web page. A
    second run finds nothing new to do. Works in the package's own project, also from
    other folders.
    """
    from churn.cli.output import ProgressDisplay, print_text
    from churn.demo.run import DemoRun
    from churn.demo.settings import Settings
    from churn.operations.dbt_runner import BUILD, run_dbt
    from churn.web.actions import ActionStore, import_actions
    from churn.web.publish import publish
    from churn.web.settings import actions_url, serving_url

    project = load_demo_project(ctx)
    settings = Settings(
        accounts=accounts, days=days, seed=seed, sales_from_day=days * 3 // 4
    )
    demo = DemoRun(project, settings)
    started = time.monotonic()
    with ProgressDisplay() as display:
        print_text(f"== 1/4 A demo company: {accounts:,} accounts, {days:,} days")
        if demo.is_generated:
            print_text(f"already generated: {demo.landing_zone}", indent=3, wrap=False)
        else:
            demo.generate(display.update)

        print_text("== 2/4 Loading its files into the raw tables")
        report = demo.load(display.update)
        code = show_load_report(project, report)
        if code:
            return code

        print_text("== 3/4 From raw records to scores: dbt build")
        display.begin("models and tests")
        run_dbt(
            project,
            [*BUILD, "--exclude=resource_type:seed"],
            on_progress=lambda name, done, total: display.update(
                "models and tests", done, total, name
            ),
            on_message=display.message,
        )
    print_text("== 4/4 The result")
    show_summary(project)
    published = publish(project)
    # The page reads actions from its own store, so that the team's are there too.
    store = ActionStore(actions_url(serving_url(project)))
    import_actions(store, demo.landing_zone)
    store.close()
    print_text(f"{published} `churn serve` shows them.")
    print_text(f"Done in {time.monotonic() - started:.0f} seconds.")
    return 0
