"""Warm workers: a resident process that executes Dagster's runs with its imports done, and answers events at once.

`launcher.py` hands runs over, `server.py` keeps the workers, `worker.py` executes, `dispatcher.py` takes events to
their last reaction. Nothing depends on it: with no reactor running, Dagster launches runs as it always does.
"""
