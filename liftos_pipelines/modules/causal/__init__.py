"""Lift Causal: what the marketing caused, what one more euro would, and what an incident cost.

The data's way: `panel` (weekly, per geo) -> `design` (scaled arrays) -> `model` (PyMC) -> `fit` (draws) ->
`results`, `plan`, `validation`, `monitor`. `impact` stands alone: the counterfactual of one event.
"""
