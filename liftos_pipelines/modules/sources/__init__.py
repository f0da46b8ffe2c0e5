"""Ingestion's pure part: what a client's files say, typed by the contract, or set aside with the reason."""
