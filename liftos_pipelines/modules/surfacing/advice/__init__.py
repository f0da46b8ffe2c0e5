"""Advice graded by evidence, and watched once it was acted on."""
