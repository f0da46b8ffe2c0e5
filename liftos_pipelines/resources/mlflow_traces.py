"""Calls into MLflow as traces, many at once, with the times at which they happened.

MLflow's documented way (a span begun and ended) costs a transaction and more a trace. Here a batch is one call of the
tracking store's own `log_spans`, which its OpenTelemetry endpoint uses and which takes spans of many traces in one
transaction; tags, feedback and links to prompts follow in a second one. On a SQL store these are written with MLflow's
own table classes through its session; on a remote server one by one through the store. No SQL is written by hand.

Every part may be repeated: ids are made from the call, and a trace is complete when it carries the tag `CONTENT`.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from liftos_pipelines import helper
from liftos_pipelines.modules.llm.traces import CallTrace
from liftos_pipelines.resources.mlflow_store import experiment_of, open_store

CONTENT = "liftos.content"
"""Tag written last: the hash of what was imported. A trace without it, or with another, is imported again."""
BATCH = 500
AT_ONCE = 400
"""Ids in one condition: SQLite and SQL Server allow a bounded number."""
NAME_LENGTH = 250
"""Characters of a session or a name; MLflow refuses a whole batch for one that is longer."""
ASKED_AT_ONCE = 50
LINK_LENGTH = 36
"""Characters of a linked prompt's `name/version` that MLflow's schema has room for."""
FEEDBACK, EXPECTED = "user_feedback", "expected_response"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class TraceStore:
    """A client's traces in MLflow, in its experiment."""

    batch = BATCH

    def __init__(self, uri: str, client: str) -> None:
        self._uri, self.client = uri, client

    def write(self, traces: Sequence[CallTrace]) -> Iterator[int]:
        """Import traces; yields after each batch how many of it were written (the rest was there, unchanged)."""
        for batch in _batches(traces):
            yield helper.call(write_batch, self._uri, self.client, batch)

    def missing(self, trace_ids: Sequence[str]) -> int:
        """How many of these traces the store does not have."""
        return helper.call(_missing, self._uri, list(trace_ids))


def _batches(traces: Sequence[CallTrace]) -> Iterator[list[CallTrace]]:
    for start in range(0, len(traces), BATCH):
        yield list(traces[start : start + BATCH])


# --- in the process that has MLflow ---


def write_batch(uri: str, client: str, traces: Sequence[CallTrace]) -> int:
    """Import one batch; returns how many were not there already with the same content."""
    mlflow = open_store(uri)
    from mlflow.tracing.client import TracingClient

    experiment, tracing = experiment_of(mlflow, client), TracingClient(uri)
    store = tracing.store
    on_sql = hasattr(store, "ManagedSessionMaker") and not _rolled_up()
    ids = [trace.trace_id for trace in traces]
    written = _written(store, ids) if on_sql else _written_there(store, ids)
    new = [trace for trace in traces if trace.content_hash != written.get(trace.trace_id)]
    if not new:
        return 0
    tracing.log_spans(experiment, [_span(trace) for trace in new])
    if on_sql:
        _attach_together(store, experiment, new)
    else:
        _attach_singly(store, new)
    return len(new)


def _rolled_up() -> bool:
    """Whether MLflow keeps sums of assessments, which only its own way of adding one keeps right."""
    from mlflow.store.tracking.sqlalchemy_store import rollups_enabled

    return bool(rollups_enabled())


def _missing(uri: str, trace_ids: list[str]) -> int:
    open_store(uri)
    from mlflow.tracing.client import TracingClient

    found = TracingClient(uri).store.batch_get_trace_infos(trace_ids)
    return len(set(trace_ids) - {info.trace_id for info in found})


def _written(store: Any, trace_ids: list[str]) -> dict[str, str]:
    """The content hash of each trace that is complete."""
    from mlflow.store.tracking.dbmodels.models import SqlTraceTag
    from sqlalchemy import select

    found: dict[str, str] = {}
    with store.ManagedSessionMaker(read_only=True) as session:
        for start in range(0, len(trace_ids), AT_ONCE):
            ids = trace_ids[start : start + AT_ONCE]
            tag = select(SqlTraceTag.request_id, SqlTraceTag.value)
            rows = session.execute(tag.where(SqlTraceTag.key == CONTENT, SqlTraceTag.request_id.in_(ids)))
            found |= {trace: value for trace, value in rows}
    return found


def _written_there(store: Any, trace_ids: list[str]) -> dict[str, str]:
    """The same asked of a server: ids stand in the address, so few at once."""
    found: dict[str, str] = {}
    for start in range(0, len(trace_ids), ASKED_AT_ONCE):
        for info in store.batch_get_trace_infos(trace_ids[start : start + ASKED_AT_ONCE]):
            if CONTENT in info.tags:
                found[info.trace_id] = info.tags[CONTENT]
    return found


def _span(trace: CallTrace) -> Any:
    """The one span of a call, as MLflow's tracing would have made it."""
    from mlflow.entities.span import Span

    asked: dict[str, Any] = {"messages": [{"role": "user", "content": trace.input}]} if trace.input else {}
    if trace.context:
        asked["context"] = trace.context
    answered = {"choices": [{"message": {"role": "assistant", "content": trace.output}}]} if trace.output else None
    attributes = {
        "mlflow.traceRequestId": trace.trace_id,
        "mlflow.spanType": "CHAT_MODEL",
        "mlflow.spanInputs": asked or None,
        "mlflow.spanOutputs": answered,
        "mlflow.llm.model": trace.model,
        "mlflow.chat.tokenUsage": dict(trace.tokens) or None,
        "session.id": trace.session_id[:NAME_LENGTH] if trace.session_id else None,
        "mlflow.traceTag.mlflow.traceName": trace.name[:NAME_LENGTH],
        "liftos.call_id": trace.call_id,
    }
    status = "STATUS_CODE_UNSET" if trace.failed is None else "STATUS_CODE_ERROR" if trace.failed else "STATUS_CODE_OK"
    return Span.from_dict(
        {
            "trace_id": _base64(trace.trace_id.removeprefix("tr-")),
            "span_id": _base64(trace.span_id),
            "parent_span_id": None,
            "name": trace.name[:NAME_LENGTH],
            "start_time_unix_nano": _nanoseconds(trace.started_at),
            "end_time_unix_nano": None if trace.ended_at is None else _nanoseconds(trace.ended_at),
            "events": [],
            "status": {"code": status, "message": trace.error or ""},
            "attributes": {
                name: json.dumps(value, ensure_ascii=False) for name, value in attributes.items() if value is not None
            }
            # An attribute that says nothing keeps MLflow from putting its own list price there.
            | {"mlflow.llm.cost": json.dumps(dict(trace.dollars)) if trace.dollars else ""},
        }
    )


def _base64(hexadecimal: str) -> str:
    return base64.b64encode(bytes.fromhex(hexadecimal)).decode()


def _nanoseconds(at: datetime) -> int:
    return (at - EPOCH) // MICROSECOND * 1000


def _assessments(trace: CallTrace) -> list[Any]:
    from mlflow.entities import AssessmentSource, Expectation, Feedback

    said = int((trace.ended_at or trace.started_at).timestamp() * 1000)
    common: dict[str, Any] = {
        "source": AssessmentSource(source_type="HUMAN", source_id="recorded"),
        "trace_id": trace.trace_id,
        "span_id": trace.span_id,
        "create_time_ms": said,
        "last_update_time_ms": said,
    }
    made: list[Any] = []
    if trace.feedback is not None:
        made.append(Feedback(name=FEEDBACK, value=trace.feedback, **common))
    if trace.reference:
        made.append(Expectation(name=EXPECTED, value=trace.reference, **common))
    for assessment in made:
        assessment.assessment_id = f"a-{hashlib.sha256(f'{trace.trace_id}{assessment.name}'.encode()).hexdigest()[:32]}"
    return made


def _tags(trace: CallTrace) -> dict[str, str]:
    from mlflow.tracing.constant import TraceTagKey
    from mlflow.utils.validation import MAX_TRACE_TAG_VAL_LENGTH

    tags = {name: value.replace("\0", "")[:MAX_TRACE_TAG_VAL_LENGTH] for name, value in trace.tags.items()}
    if trace.prompt:
        name, version = trace.prompt
        tags[TraceTagKey.LINKED_PROMPTS] = json.dumps([{"name": name, "version": str(version)}])
    return tags | {CONTENT: trace.content_hash}


def _attach_together(store: Any, experiment: str, traces: Sequence[CallTrace]) -> None:
    """Tags, feedback and prompts of a batch in one transaction; what is there already is replaced."""
    from mlflow.entities.entity_type import EntityAssociationType
    from mlflow.store.tracking.dbmodels.models import SqlAssessments, SqlEntityAssociation, SqlTraceTag
    from sqlalchemy import insert

    tags, assessments, links = [], [], []
    for trace in traces:
        tags += [{"request_id": trace.trace_id, "key": name, "value": value} for name, value in _tags(trace).items()]
        for assessment in _assessments(trace):
            row = SqlAssessments.from_mlflow_entity(assessment)
            row.experiment_id = int(experiment)
            row.trace_timestamp_ms = _nanoseconds(trace.started_at) // 1_000_000
            assessments.append({column.key: getattr(row, column.key) for column in SqlAssessments.__table__.columns})
        linked = "/".join(map(str, trace.prompt)) if trace.prompt else ""
        # The column is narrow; a database that holds to it keeps the tag alone for a longer name.
        if linked and (len(linked) <= LINK_LENGTH or store.db_type == "sqlite"):
            links.append(
                {
                    "association_id": hashlib.sha256(f"{trace.trace_id} {linked}".encode()).hexdigest()[:32],
                    "source_type": EntityAssociationType.TRACE,
                    "source_id": trace.trace_id,
                    "destination_type": EntityAssociationType.PROMPT_VERSION,
                    "destination_id": linked,
                }
            )
    with store.ManagedSessionMaker(read_only=False) as session:
        for start in range(0, len(traces), AT_ONCE):
            ids = [trace.trace_id for trace in traces[start : start + AT_ONCE]]
            session.query(SqlTraceTag).filter(
                SqlTraceTag.request_id.in_(ids), SqlTraceTag.key.in_(sorted({tag["key"] for tag in tags}))
            ).delete(synchronize_session=False)
        for table, key, rows in (
            (SqlAssessments, "assessment_id", assessments),
            (SqlEntityAssociation, "association_id", links),
        ):
            for start in range(0, len(rows), AT_ONCE):
                keys = [row[key] for row in rows[start : start + AT_ONCE]]
                session.query(table).filter(getattr(table, key).in_(keys)).delete(synchronize_session=False)
        for table, rows in ((SqlTraceTag, tags), (SqlAssessments, assessments), (SqlEntityAssociation, links)):
            if rows:
                session.execute(insert(table), rows)


def _attach_singly(store: Any, traces: Sequence[CallTrace]) -> None:
    """The same through the store's own calls, one by one."""
    from mlflow.entities.model_registry import PromptVersion

    for trace in traces:
        there = [each for info in store.batch_get_trace_infos([trace.trace_id]) for each in info.assessments]
        for assessment in _assessments(trace):
            earlier = [each for each in there if each.name == assessment.name and each.source == assessment.source]
            if any(_said(each) == _said(assessment) for each in earlier):
                continue
            for each in earlier:
                store.delete_assessment(trace.trace_id, each.assessment_id)
            assessment.assessment_id = None
            store.create_assessment(assessment)
        if trace.prompt:
            name, version = trace.prompt
            store.link_prompts_to_trace(trace.trace_id, [PromptVersion(name=name, version=version, template="")])
        for key, value in _tags(trace).items():
            store.set_trace_tag(trace.trace_id, key, value)


def _said(assessment: Any) -> Any:
    return assessment.feedback.value if assessment.feedback is not None else assessment.expectation.value
