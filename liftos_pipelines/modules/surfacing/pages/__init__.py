"""Pages audited: can assistants reach, read and cite them."""
