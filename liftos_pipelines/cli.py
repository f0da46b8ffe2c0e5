"""`liftos`: everything that Dagster's own commands do not do, or not in one step.

Commands are thin: they read arguments, call one function, print the result in words.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from liftos_pipelines import settings

settings.ease_imports()

from liftos_pipelines.actions_cli import actions_app  # noqa: E402
from liftos_pipelines.agents_cli import agents_app  # noqa: E402
from liftos_pipelines.approvals_cli import approvals_app  # noqa: E402
from liftos_pipelines.cli_help import keep_argument_help  # noqa: E402
from liftos_pipelines.clients import ClientError, list_clients, load_client  # noqa: E402
from liftos_pipelines.events_cli import events_app  # noqa: E402
from liftos_pipelines.experiment_cli import experiment_app  # noqa: E402
from liftos_pipelines.explain_cli import explain  # noqa: E402
from liftos_pipelines.gate_cli import gate_app  # noqa: E402
from liftos_pipelines.ledger_cli import ledger_app  # noqa: E402
from liftos_pipelines.llm_cli import llm_app  # noqa: E402
from liftos_pipelines.memory_cli import memory_app  # noqa: E402
from liftos_pipelines.plan_cli import plan  # noqa: E402
from liftos_pipelines.policy_cli import policy_app  # noqa: E402
from liftos_pipelines.prompt_cli import prompt_app  # noqa: E402
from liftos_pipelines.reactor_cli import reactor_app  # noqa: E402
from liftos_pipelines.sentiment_cli import sentiment_app  # noqa: E402
from liftos_pipelines.surfacing_cli import surfacing_app  # noqa: E402
from liftos_pipelines.trace_cli import metrics, trace  # noqa: E402
from liftos_pipelines.train_cli import train_app  # noqa: E402

if TYPE_CHECKING:
    import dagster as dg
    import polars as pl

settings.set_defaults()
keep_argument_help()
app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Growth intelligence on Dagster.")
client_app = typer.Typer(no_args_is_help=True, help="Clients: their folders and what is wrong with them.")
START, MODULES, GOVERN, RUNNING = "Start", "Modules", "Language models and agents", "Running it"
"""Panels of `liftos --help`."""
app.add_typer(client_app, name="client", rich_help_panel=START)
app.add_typer(sentiment_app, name="sentiment", rich_help_panel=MODULES)
app.add_typer(surfacing_app, name="surfacing", rich_help_panel=MODULES)
app.add_typer(experiment_app, name="experiment", rich_help_panel=MODULES)
app.add_typer(memory_app, name="memory", rich_help_panel=MODULES)
app.add_typer(llm_app, name="llm", rich_help_panel=GOVERN)
app.add_typer(prompt_app, name="prompt", rich_help_panel=GOVERN)
app.add_typer(agents_app, name="agents", rich_help_panel=GOVERN)
app.add_typer(policy_app, name="policy", rich_help_panel=GOVERN)
app.add_typer(gate_app, name="gate", rich_help_panel=GOVERN)
app.add_typer(approvals_app, name="approvals", rich_help_panel=GOVERN)
app.add_typer(actions_app, name="actions", rich_help_panel=GOVERN)
app.add_typer(ledger_app, name="ledger", rich_help_panel=GOVERN)
app.add_typer(events_app, name="events", rich_help_panel=RUNNING)
app.add_typer(reactor_app, name="reactor", rich_help_panel=RUNNING)
app.add_typer(train_app, name="train", rich_help_panel=RUNNING)
ROUNDS_OF_ANSWERS = 3
"""A cause that eval found, the remedy for it, and its memory: no chain of the demo is longer."""
# A pipe or a log has no width of its own; eighty columns would break every table.
WIDEST_CELL, NARROWEST_CELL, LONG_HEADING = 44, 8, 10
console = Console(width=None if sys.stdout.isatty() else 160)
problems = Console(stderr=True)

Client = Annotated[str, typer.Argument(help="Client id, the name of its folder")]


class Format(StrEnum):
    table = "table"
    csv = "csv"
    json = "json"


def main() -> None:
    """Entry point: errors a user can mend are one message, not a traceback."""
    from liftos_pipelines.resources.lake import TableAbsent
    from liftos_pipelines.spine.database import SpineError

    try:
        app()
    except (ClientError, SpineError, TableAbsent, ValueError, KeyError) as error:
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        problems.print(f"[bold red]error[/]: {message}", highlight=False, soft_wrap=True)
        sys.exit(2)


def _instance() -> dg.DagsterInstance:
    import dagster as dg

    return dg.DagsterInstance.get()


@app.command(rich_help_panel=START)
def demo(
    seed: Annotated[int, typer.Option(help="Seed of the simulated world")] = 7,
    keep: Annotated[bool, typer.Option(help="Keep the demo client's data as they are")] = False,
) -> None:
    """Make the demo client with known truth, materialise everything, print what was found beside the truth."""
    from liftos_pipelines.helper import SUITES, TRACKING, helping

    with helping([TRACKING, SUITES]):
        success = _demo(seed, keep)
    raise typer.Exit(0 if success else 1)


def _demo(seed: int, keep: bool) -> bool:
    from liftos_pipelines.definitions import defs
    from liftos_pipelines.resources.lake import Lake
    from liftos_pipelines.resources.spine import open_spine
    from liftos_pipelines.running import print_report, run_client
    from liftos_pipelines.sensors.reaction_runs import owed, quick_answers
    from liftos_pipelines.simulate import as_told
    from liftos_pipelines.simulate.findings import findings, print_findings
    from liftos_pipelines.simulate.world import write_client

    folder = settings.clients_folder() / "demo"
    if not keep or not (folder / "client.yaml").is_file():
        console.print(f"Simulating two years of the demo client into {folder} ...", highlight=False)
        write_client(folder, seed=seed)
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    as_told.prompts_before("demo", truth)
    report = run_client("demo", defs=defs, instance=_instance(), console=console)
    print_report(report, console)
    if report.success:
        truth["gate"] = as_told.ask_the_gate("demo")
    for number in range(ROUNDS_OF_ANSWERS):
        last = quick_answers(owed(open_spine(), "demo")) if report.success else []
        if report.success and number == 0:
            last = sorted({*last, *as_told.AFTER_THE_GATE})
        if not last:
            break
        console.print(f"Answering what was raised last: {', '.join(last)} ...", highlight=False)
        report = run_client("demo", ",".join(last), defs=defs, instance=_instance(), console=console)
    _print_owed("demo")
    lake = Lake(settings.lake_uri())
    print_findings(findings(lambda name: lake.read("demo", name), truth), console)
    pulse = lake.folder("demo", "eval") / "trust_pulse.html"
    console.print(
        "\nLook next: `liftos up` for the asset graph, checks and plots; "
        f"the one-page summary at {pulse}; `liftos show demo causal/channel_results`; "
        '`liftos recall demo "delivery delays"`; `liftos events list demo`; `liftos explain demo last`; what waits for '
        "you: `liftos approvals list demo`.",
        highlight=False,
    )
    return report.success


@app.command(rich_help_panel=START)
def run(
    client: Client,
    select: Annotated[
        str | None, typer.Option(help="module/asset, module/*, +module/asset, or Dagster's selection syntax")
    ] = None,
) -> None:
    """Materialise a client's assets; exit code 1 when the run or a blocking check fails."""
    from liftos_pipelines.helper import SUITES, helping

    load_client(client)
    # Judged by the text, so that the helper begins before the code location loads; beyond sources it has less to do.
    with helping([SUITES] if select is None or "+" in select or "sources" in select else []):
        from liftos_pipelines.definitions import defs
        from liftos_pipelines.running import print_report, run_client

        report = run_client(client, select, defs=defs, instance=_instance(), console=console)
    print_report(report, console)
    _print_owed(client)
    raise typer.Exit(0 if report.success else 1)


def _print_owed(client: str) -> None:
    from liftos_pipelines.resources.spine import open_spine
    from liftos_pipelines.sensors.reaction_runs import in_words, owed

    spine = open_spine()
    said = in_words(owed(spine, client), reactor=spine.reactor_at_work(datetime.now(UTC)))
    if said:
        console.print(said, highlight=False, soft_wrap=True)


@app.command(rich_help_panel=START)
def show(
    client: Client,
    table: Annotated[str, typer.Argument(help="module/asset, for example causal/channel_results")],
    format: Annotated[Format, typer.Option(help="How to print it")] = Format.table,
    limit: Annotated[int, typer.Option(help="Rows to print as a table")] = 40,
    as_of: Annotated[datetime | None, typer.Option(help="The table as it was known then (UTC)")] = None,
    wide: Annotated[bool, typer.Option("--all-columns", help="With the columns beyond the contract's")] = False,
) -> None:
    """Print a client's table; CSV and JSON have all columns."""
    from liftos_pipelines.resources.lake import PLATFORM, PLATFORM_WIDE, Lake
    from liftos_pipelines.tables import table as contract_of

    load_client(client)
    lake = Lake(settings.lake_uri())
    owner = PLATFORM if table == PLATFORM_WIDE else client
    status = lake.status(owner, table)
    lake.require(owner, table)
    moment = as_of.replace(tzinfo=UTC) if as_of else None
    frame = lake.read(owner, table, as_of=moment)
    if format is Format.json:
        typer.echo(frame.write_json())
    elif format is Format.csv:
        typer.echo(_flat(frame).write_csv(), nl=False)
    else:
        console.print(f"{client} {table}: {status}, {frame.height:,} rows", highlight=False)
        _print_frame(frame.head(limit) if wide else frame.head(limit).select(list(contract_of(table).columns)))
        if frame.height > limit:
            console.print(f"... {frame.height - limit:,} more rows (--limit, or --format csv)", highlight=False)


@app.command(rich_help_panel=MODULES)
def recall(
    client: Client,
    text: Annotated[str | None, typer.Argument(help="What to look for")] = None,
    k: Annotated[int, typer.Option("-k", help="How many memories")] = 10,
    queries: Annotated[
        Path | None,
        typer.Option(
            help="JSONL with query_id, text and, if wanted, kinds, domains, subjects, campaigns, since, until, as_of"
        ),
    ] = None,
    kinds: Annotated[str | None, typer.Option(help="Only these kinds of memory, with commas: note,alert")] = None,
    domains: Annotated[str | None, typer.Option(help="Only these domains, with commas")] = None,
    subject: Annotated[str | None, typer.Option(help="Only these subjects, with commas: channel:tv")] = None,
    campaign: Annotated[str | None, typer.Option(help="Only these campaigns, with commas")] = None,
    since: Annotated[str | None, typer.Option(help="Only what was so from then on, ISO date or time")] = None,
    until: Annotated[str | None, typer.Option(help="Only what was so up to then, ISO date or time")] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="The memory as it was then, ISO date or time")] = None,
    encoder: Annotated[
        str, typer.Option(help="Vector of the question: full (MiniLM), static (at once), auto (full where known)")
    ] = "full",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines")] = False,
) -> None:
    """Find memories like a text, and say which evidence brought each: words, meaning, who said it, links, the turn
    beside.
    """
    from liftos_pipelines.recall_cli import answer, questions_of

    load_client(client)
    if (text is None) == (queries is None):
        raise ValueError('give either a text ("...") or --queries FILE.jsonl')
    asked = questions_of(
        text,
        queries,
        as_of=as_of,
        kinds=kinds,
        domains=domains,
        subjects=subject,
        campaigns=campaign,
        since=since,
        until=until,
    )
    answer(client, asked, k=k, encoder=encoder, as_json=as_json, console=console)


@app.command(rich_help_panel=START)
def up(
    host: Annotated[str, typer.Option(help="Address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Dagster web UI")] = 3000,
    mlflow_port: Annotated[int, typer.Option(help="MLflow UI")] = 5000,
) -> None:
    """Start the Dagster web UI and daemon, the reactor and the MLflow UI; Ctrl-C stops them all."""
    from liftos_pipelines.services import run_services

    raise typer.Exit(run_services(host, port, mlflow_port, console))


@app.command(rich_help_panel=RUNNING)
def env() -> None:
    """Print the variables that plain Dagster commands need: eval "$(liftos env)"."""
    import os

    for name in (
        "LIFTOS_HOME",
        "DAGSTER_HOME",
        "LIFTOS_DAGSTER_STORAGE",
        "MLFLOW_DISABLE_TELEMETRY",
        "GX_ANALYTICS_ENABLED",
        "HF_HUB_OFFLINE",
        "OMP_NUM_THREADS",
    ):
        typer.echo(f'export {name}="{os.environ[name]}"')


@app.command(rich_help_panel=START)
def doctor() -> None:
    """Say whether this installation can work: homes, stores, weights, clients."""
    from liftos_pipelines.doctor import examine

    healthy = True
    for finding in examine():
        healthy = healthy and finding.healthy
        mark = "[green]ok[/]  " if finding.healthy else "[red]fail[/]"
        console.print(f"{mark} {finding.what}: {finding.detail}", highlight=False)
    raise typer.Exit(0 if healthy else 1)


@app.command(rich_help_panel=RUNNING)
def bench(
    name: Annotated[str | None, typer.Argument(help="One benchmark; all when absent")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
    data: Annotated[
        Path | None, typer.Option(help="With llm: measure groundedness on this JSONL (context, output, label) instead")
    ] = None,
) -> None:
    """Measure the project's figures on this machine, each beside a baseline."""
    from liftos_pipelines.bench import print_figures, run_benchmarks

    if data is not None:
        if name != "llm":
            raise typer.BadParameter("--data goes with the benchmark llm")
        from liftos_pipelines.bench.llm_groundedness import evaluate_labelled, read_labelled

        figures = evaluate_labelled(read_labelled(data))
    else:
        figures = run_benchmarks(name, console=problems)
    if as_json:
        from dataclasses import asdict

        typer.echo(json.dumps([asdict(figure) for figure in figures], indent=2))
    else:
        print_figures(figures, console)


@client_app.command("add")
def client_add(
    client: Client, example: Annotated[Path | None, typer.Option(help="Copy this client.yaml")] = None
) -> None:
    """Make a client's folder with a client.yaml to fill in."""
    from liftos_pipelines.running import register
    from liftos_pipelines.starter import write_starter

    file = write_starter(client, example)
    register(_instance(), client)
    console.print(f"{file} written. Fill it in, then: liftos client check {client}", highlight=False)


@client_app.command("list")
def client_list() -> None:
    """List clients and their sources."""
    names = list_clients()
    if not names:
        console.print(f"No client in {settings.clients_folder()}. Add one: liftos client add NAME", highlight=False)
    for name in names:
        try:
            config = load_client(name)
            sources = [
                field for field in type(config.sources).model_fields if getattr(config.sources, field) is not None
            ]
            console.print(f"{name}: {', '.join(sources) or 'no source yet'}", highlight=False)
        except ClientError as error:
            console.print(f"{name}: [red]{error}[/]", highlight=False)


@client_app.command("check")
def client_check(client: Client) -> None:
    """Read a client's files without writing anything, and say what would be taken in."""
    from liftos_pipelines.starter import check_sources

    config = load_client(client)
    problems_found = 0
    for line in check_sources(config):
        problems_found += not line.ok
        mark = "[green]ok[/]  " if line.ok else "[red]fail[/]"
        console.print(f"{mark} {line.source}: {line.detail}", highlight=False, soft_wrap=True)
    raise typer.Exit(1 if problems_found else 0)


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    """Lists and structs as JSON text, for CSV."""
    import polars as pl

    nested = [name for name, dtype in frame.schema.items() if dtype.is_nested()]
    return frame.with_columns(
        pl.col(name).map_elements(
            lambda value: json.dumps(value.to_list() if hasattr(value, "to_list") else value, default=str),
            return_dtype=pl.String,
        )
        for name in nested
    )


def _print_frame(frame: pl.DataFrame) -> None:
    """One line a row: numbers stay whole, their long names break, texts share the room that is left."""
    from rich.table import Table

    cells = {name: [_cell(value) for value in frame[name].to_list()] for name in frame.columns}
    numbers = {name for name, dtype in frame.schema.items() if dtype.is_numeric()}
    headings = {
        name: name.replace("_", "_\n") if name in numbers and len(name) > LONG_HEADING else name
        for name in frame.columns
    }
    widths = {
        name: max(max(map(len, headings[name].split("\n"))), *map(len, cells[name] or [""])) for name in frame.columns
    }
    texts = [name for name in frame.columns if name not in numbers]
    while texts and sum(widths.values()) + 3 * len(widths) + 1 > console.width:
        widest = max(texts, key=lambda name: widths[name])
        if widths[widest] <= NARROWEST_CELL:
            break
        widths[widest] -= 1
    table = Table(header_style="bold")
    for name in frame.columns:
        justify: Literal["right", "left"] = "right" if name in numbers else "left"
        table.add_column(headings[name], justify=justify, no_wrap=name in numbers, overflow="fold")
    for row in range(frame.height):
        table.add_row(*(_cut(cells[name][row], widths[name]) for name in frame.columns))
    console.print(table)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _cell(value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, float):
        return f"{value:,.4g}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return _cut(" ".join(str(value).split()), WIDEST_CELL)


# After this file's own commands: panels stand in the order of their first command.
app.command("plan", rich_help_panel=MODULES)(plan)
app.command("explain", rich_help_panel=GOVERN)(explain)
app.command("trace", rich_help_panel=RUNNING)(trace)
app.command("metrics", rich_help_panel=RUNNING)(metrics)


if __name__ == "__main__":
    main()
