"""Conceptual dimensions as data, a file a domain; read by `resources/dimension_data.py`."""
