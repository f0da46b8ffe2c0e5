"""Whether a fit may be published: named checks, their levels, and which model serves."""
