"""What people feel about the brand.

Three rooms, in the data's order: `reading` (what each mention says), `watch` (the daily index, and drops of it),
`revenue` (whether the outcome moves with it).
"""
