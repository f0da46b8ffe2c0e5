"""Recorded calls in other tools' formats (OpenTelemetry spans, MLflow traces, Langfuse exports) as rows of `llm_calls`.

Each format is read into the same `Span`; `assemble.py` turns spans into rows and says what it could not use and why.
Nothing here reads a file: records come in as parsed JSON with the place where they stand.
"""
