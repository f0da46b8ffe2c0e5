"""What people feel about the brand: scores of single mentions, the daily index, drop alerts, the link to revenue.

Reading order: `normalise` and `features` (text to numbers), `model` (numbers to probabilities), `languages`,
`calibration`, `training`, `scoring` and `targets` (mentions), `index` (days), `detector` and `alerts` (drops),
`revenue` (the outcome).
"""
