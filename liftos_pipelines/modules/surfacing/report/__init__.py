"""The visibility report: one page for reading, made of the module's tables."""
