"""Selections in short form or Dagster's own; a run that fails says so in words and by its exit code."""

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from rich.console import Console

from liftos_pipelines.running import print_report, run_client, to_selection

BIN = Path(sys.executable).parent


@dg.asset(key=["a", "one"])
def one() -> None: ...


@dg.asset(key=["a", "two"], deps=[one])
def two() -> None: ...


@dg.asset(key=["b", "three"], group_name="b", deps=[two])
def three() -> None: ...


GRAPH = dg.Definitions(assets=[one, two, three]).resolve_asset_graph()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a/two", {"a/two"}),
        ("+a/two", {"a/one", "a/two"}),
        ("a/one,b/three", {"a/one", "b/three"}),
        ("b/*", {"b/three"}),
        ("+b/*", {"a/one", "a/two", "b/three"}),
        ("a/one+", {"a/one", "a/two", "b/three"}),
        ('key:"a/*"', {"a/one", "a/two"}),
        ('group:"b" or key:"a/one"', {"b/three", "a/one"}),
    ],
)
def test_selections(text: str, expected: set[str]) -> None:
    keys = to_selection(text).resolve(GRAPH)
    assert {"/".join(key.path) for key in keys} == expected


def test_a_selection_that_cannot_be_read_says_what_is_allowed() -> None:
    with pytest.raises(ValueError, match="module/asset"):
        to_selection("key:(")


def acme(home: Path) -> Path:
    folder = home / "clients" / "acme"
    folder.mkdir(parents=True)
    (folder / "client.yaml").write_text(
        "client: acme\nsources: {notes: {path: notes.jsonl}, outcomes: {path: o.csv}}\n"
    )
    (folder / "notes.jsonl").write_text('{"note_id": "n1", "at": "2025-01-05", "text": "Launch went well"}\n')
    (folder / "o.csv").write_text("outcome_id,decided_at,context,action,metric,effect\n1,2025-01-01,c,a,m,0.5\n")
    return folder


def test_a_failing_source_is_told_in_words_and_the_others_go_on(home: Path, instance: dg.DagsterInstance) -> None:
    from liftos_pipelines.definitions import defs

    acme(home)
    console = Console(record=True, width=200)
    report = run_client(
        "acme", "sources/notes,sources/outcomes,sources/mentions", defs=defs, instance=instance, console=console
    )
    print_report(report, console)
    text = console.export_text()
    status = {outcome.asset: outcome.status for outcome in report.assets}
    assert not report.success
    assert status["sources/notes"] == "ok"
    assert status["sources/mentions"] == "skipped: no source (mentions)"
    assert status["sources/outcomes"] == "failed"
    assert "std_error" in text
    assert "1 failed (sources/outcomes)" in text


def test_a_run_links_to_the_code_location_that_is_served_and_one_of_other_definitions_does_not(
    home: Path, instance: dg.DagsterInstance
) -> None:
    from liftos_pipelines.definitions import build_defs, defs

    acme(home)
    linked, unlinked = (
        instance.get_run_by_id(
            run_client("acme", "sources/notes", defs=each, instance=instance, console=Console(quiet=True)).run_id
        )
        for each in (defs, build_defs())
    )
    assert linked is not None
    assert unlinked is not None
    assert linked.remote_job_origin is not None
    assert linked.job_code_origin is not None
    assert linked.remote_job_origin.location_name == "liftos_pipelines"
    assert linked.tags["dagster/partition"] == "acme"
    assert linked.tags["liftos/trigger"] == "cli"
    assert linked.status is dg.DagsterRunStatus.SUCCESS
    assert unlinked.remote_job_origin is None


def test_a_selection_of_nothing_names_the_assets(home: Path, instance: dg.DagsterInstance) -> None:
    from liftos_pipelines.definitions import defs

    acme(home)
    with pytest.raises(ValueError, match="sources/notes"):
        run_client("acme", "sources/nothing", defs=defs, instance=instance, console=Console())


def liftos(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    import os

    environment = {**os.environ, "LIFTOS_HOME": str(home), "LIFTOS_DAGSTER_STORAGE": str(home / "dagster")}
    return subprocess.run([BIN / "liftos", *arguments], env=environment, capture_output=True, text=True, timeout=180)


def test_the_command_line_end_to_end_and_its_errors(home: Path) -> None:
    folder = acme(home)
    failed = liftos(home, "run", "acme", "--select", "sources/*")
    assert failed.returncode == 1, failed.stdout + failed.stderr
    (folder / "o.csv").write_text(
        "outcome_id,decided_at,context,action,metric,effect,std_error\n1,2025-01-01,c,a,m,0.5,0.1\n"
    )
    done = liftos(home, "run", "acme", "--select", "sources/*")
    assert done.returncode == 0, done.stdout + done.stderr
    shown = liftos(home, "show", "acme", "sources/outcomes", "--format", "csv")
    assert shown.stdout.splitlines()[1].startswith("1,2025-01-01")
    skipped = liftos(home, "show", "acme", "sources/mentions")
    assert "skipped: no source (mentions)" in skipped.stdout
    for arguments, words in (
        (("run", "nobody"), 'no client "nobody"'),
        (("run", "../x"), "is not allowed"),
        (("show", "acme", "sources/outcome"), "Did you mean sources/outcomes"),
        (("show", "acme", "causal/panel"), "has not been materialised"),
        (("events", "raise", "acme", "nothing", "{}"), "there is no event type"),
    ):
        wrong = liftos(home, *arguments)
        assert wrong.returncode == 2, arguments
        assert words in wrong.stderr.replace("\n", " "), wrong.stderr
        assert "Traceback" not in wrong.stderr
