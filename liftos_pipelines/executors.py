"""How a run executes its steps: one after another in its process, or, where its config asks for it, a process each.

```yaml
execution: {config: {multiprocess: {max_concurrent: 2}}}   # of one run, in the launchpad or by `dg launch --config`
```
A process a step costs its imports, four to nine seconds: worth it for branches that each take minutes.
"""

from __future__ import annotations

import dagster as dg
from dagster._core.definitions.executor_definition import (
    IN_PROC_CONFIG,
    MULTI_PROC_CONFIG,
    _get_default_executor_requirements,
)
from dagster._core.executor.base import Executor


@dg.executor(
    name="in_process_or_multiprocess",
    config_schema=dg.Field(
        dg.Selector({"in_process": IN_PROC_CONFIG, "multiprocess": MULTI_PROC_CONFIG}), default_value={"in_process": {}}
    ),
    requirements=_get_default_executor_requirements,
)
def in_process_or_multiprocess(context: dg.InitExecutorContext) -> Executor:
    """Dagster's own choice of executors with the other default."""
    return dg.multi_or_in_process_executor.executor_creation_fn(context)  # type: ignore[misc,return-value]
