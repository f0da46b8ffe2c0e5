"""Whether the other modules can be trusted: service levels, drift, root causes, and one page that says so."""
