"""Typed claims in a text and whether two of them agree."""
