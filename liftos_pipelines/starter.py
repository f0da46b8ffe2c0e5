"""A client's beginning: the folder with a `client.yaml` to fill in, and a look at its files before a first run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from liftos_pipelines import settings
from liftos_pipelines.clients import ClientConfig, ClientError, FileSource, MarketingSource, check_client_id

STARTER = """\
client: {client}
industry: base              # base, retail, saas, finance, health or travel
currency: EUR
brand:
  name: {client}
  aliases: []
  domains: []
  competitors: []           # - {{name: Globex, aliases: [], domains: [globex.example]}}
# Each source is optional: what is absent is shown as "skipped: no source", never invented.
# Columns and examples: docs/clients.md and examples/.
sources: {{}}
#  marketing:
#    path: data/media.csv
#    date: week
#    outcome: conversions
#    revenue_per_outcome: revenue_per_conversion
#    channels:
#      tv: {{spend: tv_spend, exposure: tv_impressions}}
#  mentions: {{path: data/mentions.csv}}
"""


@dataclass(frozen=True, kw_only=True)
class SourceLook:
    source: str
    ok: bool
    detail: str


def write_starter(client: str, example: Path | None = None) -> Path:
    """Write `clients/<client>/client.yaml`, from the starter or an example; an existing file is never replaced.

    Raises
    ------
    ClientError : the id is not allowed, the client exists, or the example cannot be read
    """
    file = settings.clients_folder() / check_client_id(client) / "client.yaml"
    if file.exists():
        raise ClientError(f"{file} exists already; edit it, or choose another client id")
    if example is None:
        content = STARTER.format(client=client)
    else:
        if not example.is_file():
            raise ClientError(f"{example} does not exist; examples stand in {settings.PROJECT / 'examples'}")
        lines = example.read_text(encoding="utf-8").splitlines()
        content = "\n".join(f"client: {client}" if line.startswith("client:") else line for line in lines) + "\n"
    (file.parent / "data").mkdir(parents=True, exist_ok=True)
    file.write_text(content, encoding="utf-8")
    return file


def check_sources(config: ClientConfig) -> Iterator[SourceLook]:
    """Read and judge every source as ingestion would, without writing; one line a source."""
    for source in type(config.sources).model_fields:
        configured = getattr(config.sources, source)
        if configured is not None:
            yield _look(config, source, configured)


def _look(config: ClientConfig, source: str, configured: FileSource) -> SourceLook:
    from liftos_pipelines.assets.ingestion import ingest_marketing, ingest_source

    now = datetime.now(UTC)
    if isinstance(configured, MarketingSource):
        ingest = ingest_marketing(config, configured, now)
    else:
        ingest = ingest_source(config, source, configured, now)
    failures = ingest.failures()
    if failures:
        return SourceLook(source=source, ok=False, detail="\n".join(failures))
    rows = ", ".join(f"{frame.height:,} rows for {name}" for name, frame in ingest.tables.items())
    notes = [f"{ingest.quarantine.height:,} rows would be set aside"] if ingest.quarantine.height else []
    verdicts = [verdict for verdicts in ingest.verdicts.values() for verdict in verdicts]
    notes += [f"{verdict.check}: {verdict.message}" for verdict in verdicts if not verdict.passed]
    return SourceLook(source=source, ok=True, detail="; ".join([rows, *notes]))
