"""Lift Causal: what the marketing caused, what one more euro would, and what an incident cost.

The data's way: `inputs` (weekly panel, arrays in frozen units) -> `engine` (model, posterior, back-tests) -> `checks`
(may it be published, which one serves) -> `answers` and `plan`; `watch` keeps a posterior current between full fits,
`report` is the page. `experiments` designs and reads out tests; `impact` is the counterfactual of one event. What a
client may say is `spec`.
"""
