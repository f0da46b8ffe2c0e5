"""One HTML page of a model, and the pictures for metadata."""
