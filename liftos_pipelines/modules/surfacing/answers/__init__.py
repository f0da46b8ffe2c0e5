"""Answers of AI assistants read: who is named, at which rank, and which sources are cited."""
