"""Versions of prompts and models beside one another as they served: what got worse, which is best, what to try."""
