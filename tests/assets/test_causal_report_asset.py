"""The report as an asset: a page for every fit, whatever its verdict; what serves keeps its own page."""

from pathlib import Path

import dagster as dg
import pytest
from assets.causal_running import Run, metadata_of, runner, write_client
from modules.causal.causal_worlds import make_world

from liftos_pipelines.assets import causal_contributions, causal_report
from liftos_pipelines.resources.lake import Lake
from liftos_pipelines.resources.mlflow import MlflowResource

QUICK: dict[str, object] = {"chains": 2, "draws": 400, "tune": 300, "max_lag": 4, "seasonality": 1, "holdout_weeks": 6}
IMPOSSIBLE = {"gate": {"heldout_accuracy": {"warn": 2.0, "fail": 1.5}}}


@pytest.fixture
def run(home: Path, instance: dg.DagsterInstance) -> Run:
    return runner(instance, causal_contributions, causal_report)


def artefacts(run_id: str) -> set[str]:
    found = MlflowResource().open().MlflowClient().list_artifacts(run_id, "report")
    return {Path(file.path).name for file in found}


def test_each_fit_has_its_page_and_the_served_model_keeps_its_own(run: Run, home: Path) -> None:
    folder = Lake(str(home / "lake")).folder("acme", "causal")
    write_client(home, "acme", make_world(seed=3, geos=1, weeks=80), QUICK)
    result = run("acme")
    said = metadata_of(result, "report")
    page = folder / "mmm_report.html"
    first = page.read_text()
    assert str(said["verdict"]).startswith("version 1: Published")
    assert said["bytes"] == len(first.encode()) < 3_000_000
    assert first == (folder / "mmm_report_v1.html").read_text()
    assert "NOT PUBLISHED" not in first
    fitted = metadata_of(result, "mmm_posterior")
    assert str(fitted["mlflow_run_id"]) in first
    for name in ("fit", "contributions", "roi", "curves"):
        assert "data:image/png;base64" in str(said[name])
    assert artefacts(str(fitted["mlflow_run_id"])) == {
        "mmm_report.html", "fit.png", "contributions.png", "roi.png", "curves.png"
    }  # fmt: skip

    # A fit that fails has a page that says so; the served model's page stays, and tells why it still serves.
    write_client(home, "acme", make_world(seed=3, geos=1, weeks=83), QUICK | IMPOSSIBLE)
    result = run("acme")
    said = metadata_of(result, "report")
    failing, serving = (folder / "mmm_report_v2.html").read_text(), page.read_text()
    assert "version 2: NOT PUBLISHED: 1 check failed (heldout accuracy)." in str(said["verdict"])
    assert "version 1: Published" in str(said["verdict"])
    assert "NOT PUBLISHED: 1 check failed (heldout accuracy)." in failing
    assert "Certificate" not in failing
    assert "version 1" in serving
    assert "version 2 failed heldout_accuracy" in serving
    assert "3 newer weeks not seen" in serving
    assert "Publish gate: every check" in serving
    assert "No check of this model is at hand" not in serving
    assert "mmm_report.html" in artefacts(str(metadata_of(result, "mmm_posterior")["mlflow_run_id"]))

    # Without the kept checks the registry's word is all there is, and the page says that.
    (folder / "mmm_checks_v1.json").unlink()
    run("acme", "report")
    serving = page.read_text()
    assert "its checks are not at hand any more" in serving
    assert "No check of this model is at hand" in serving
    assert not list(folder.glob("*.partial"))


def test_where_none_serves_the_page_is_that_of_the_fit_that_failed(run: Run, home: Path) -> None:
    write_client(home, "acme", make_world(seed=3, geos=1, weeks=80), QUICK | IMPOSSIBLE)
    said = metadata_of(run("acme"), "report")
    page = (Lake(str(home / "lake")).folder("acme", "causal") / "mmm_report.html").read_text()
    assert "version 1: NOT PUBLISHED" in str(said["verdict"])
    assert "NOT PUBLISHED" in page
    assert "Do not act on the figures below" in page


def test_a_client_without_marketing_has_no_page(run: Run, home: Path) -> None:
    write_client(home, "bare", None, {})
    said = metadata_of(run("bare"), "report")
    assert said["status"] == "skipped: no source (marketing)"
    assert not list(Lake(str(home / "lake")).folder("bare", "causal").glob("*.html"))
