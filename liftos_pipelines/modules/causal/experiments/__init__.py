"""Experiments: reading out dated geo tests and user tests, and designing the next one. Pure; one idea a file."""
