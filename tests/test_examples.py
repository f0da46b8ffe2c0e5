"""The examples as a newcomer runs them: copy, ingest, look."""

from __future__ import annotations

import hashlib
import runpy
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent / "assets"))
import client_world as world

from liftos_pipelines.clients import read_client_file

EXAMPLES = Path(__file__).parents[1] / "examples"
MMM = {
    "meridian-geo": ("mmm/meridian/geo_media.csv", 20 * 156, 4, 2),
    "meridian-national": ("mmm/meridian/national_all_channels.csv", 156, 6, 3),
    "pymc-marketing": ("mmm/pymc_marketing/mmm_example.csv", 179, 2, 2),
    "robyn": ("mmm/robyn/dt_simulated_weekly.csv", 208, 6, 3),
}


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*/client.yaml")), ids=lambda file: file.parent.name)
def test_every_example_is_a_valid_client_named_like_its_folder(file: Path) -> None:
    assert read_client_file(file).client == file.parent.name


@pytest.mark.parametrize("example", MMM)
def test_a_published_table_loads_with_a_mapping_alone(
    example: str, shared_data: Path, home: Path, instance: Any
) -> None:
    source, rows, channels, controls = MMM[example]
    folder = home / "clients" / example
    shutil.copytree(EXAMPLES / example, folder)
    (folder / "data").mkdir()
    shutil.copyfile(shared_data / source, folder / "data" / Path(source).name)
    result = world.run(instance, client=example, select='key:"sources/marketing_*"')
    assert result.success, world.failure(result, "sources_marketing")
    lake = world.lake(home)
    assert lake.read(example, "sources/marketing_outcome").height == rows
    media = lake.read(example, "sources/marketing_media")
    assert (media.height, media["channel"].n_unique()) == (rows * channels, channels)
    table = lake.read(example, "sources/marketing_controls")
    assert (table.height, table["control"].n_unique()) == (rows * controls, controls)
    assert lake.quarantine(example, "marketing").is_empty()


def test_a_table_with_an_unnamed_index_column_loads(shared_data: Path, home: Path, instance: Any) -> None:
    channels = {f"c{n}": {"spend": f"Channel{n}_spend", "exposure": f"Channel{n}_impression"} for n in range(5)}
    mapping = {
        "path": "data/geo_all_channels.csv", "date": "time", "geo": "geo", "outcome": "conversions",
        "revenue_per_outcome": "revenue_per_conversion", "population": "population", "channels": channels,
    }  # fmt: skip
    folder = world.write_client(home, marketing=mapping)
    shutil.copyfile(shared_data / "mmm/meridian/geo_all_channels.csv", folder / "data/geo_all_channels.csv")
    assert world.run(instance, select='key:"sources/marketing_*"').success
    assert world.lake(home).read("acme", "sources/marketing_outcome").height == 40 * 156


def test_the_public_client_is_assembled_the_same_twice_and_every_source_loads(
    shared_data: Path, home: Path, instance: Any
) -> None:
    folder = home / "clients" / "public"
    command = [
        sys.executable,
        str(EXAMPLES / "public_data/assemble.py"),
        "--data",
        str(shared_data),
        "--out",
        str(folder),
    ]
    digests = []
    for _ in range(2):
        subprocess.run(command, check=True, capture_output=True)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        digests.append(hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest())
    assert digests[0] == digests[1]
    result = world.run(instance, client="public")
    assert result.success, world.failed_checks(result)
    lake = world.lake(home)
    rows = {
        name: lake.read("public", f"sources/{name}").height
        for name in ("mentions", "answers", "pages", "llm_calls", "agents")
    }
    assert rows == {
        "mentions": 8 * (1839 + 324) + 4200 + 3708,
        "answers": 792,
        "pages": 30,
        "llm_calls": 560,
        "agents": 1,
    }
    steps = lake.read("public", "sources/agent_steps")
    assert steps["run_id"].n_unique() == 200
    assert steps["reward"].mean() == pytest.approx(0.42)  # the publisher's pass^1
    assert lake.status("public", "sources/experiments").startswith("skipped: no source")
    for name in ("mentions", "answers", "pages", "llm_calls", "agent_steps"):
        assert lake.quarantine("public", name).is_empty()


def test_the_guarded_agent_is_let_do_what_its_policy_allows_and_publishes_once_after_a_persons_yes(
    home: Path, instance: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from liftos_pipelines.authority.opening import open_gate
    from liftos_pipelines.resources.spine import open_spine

    shutil.copytree(EXAMPLES / "guarded_agent", home / "clients" / "guarded_agent")
    assert world.run(instance, client="guarded_agent", select='key:"sources/agents"').success
    script = EXAMPLES / "guarded_agent" / "agent.py"

    def say(run: str) -> list[str]:
        monkeypatch.setattr(sys, "argv", [str(script), run])
        capsys.readouterr()
        runpy.run_path(str(script), run_name="__main__")
        return [line for line in capsys.readouterr().out.splitlines() if line and not line.startswith(" ")][:6]

    def answers(lines: list[str]) -> list[str]:
        return [line[17:].split(":")[0] for line in lines]

    first = answers(say("run-1"))
    denied = ["deny by budget_exhausted", "deny by look_before_you_bid", "deny by unknown_tool"]
    assert first == ["ran", "ran", "needs_approval by a_person_sees_every_ad", *denied]

    spine = open_spine()
    (asked,) = spine.approvals("guarded_agent")
    now = datetime.now(UTC)
    spine.decide_approval("guarded_agent", asked.approval_id, given=True, approver="anna", reason="fine", now=now)
    assert answers(say("run-2")) == ["ran", "ran", "ran", *denied]
    assert answers(say("run-3"))[2].endswith("a_person_sees_every_ad"), "consent was for once"
    assert open_gate("guarded_agent").stopped() == {}
    assert spine.verify_ledger("guarded_agent").verified
