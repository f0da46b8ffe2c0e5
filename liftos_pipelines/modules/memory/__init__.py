"""Memory: what the organisation has learned, as bi-temporal items that can be recalled, weighed and audited.

Pure functions over polars frames and numpy vectors. Embedding texts and keeping them (LanceDB) is done by the
resources; what belongs here is what an item is, which version of it was known when, how a query finds it, and
what past outcomes say about an action in a similar context.
"""
