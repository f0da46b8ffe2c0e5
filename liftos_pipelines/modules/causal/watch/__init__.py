"""Between full fits: updates by importance weights, breaks, and what recurs over refits."""
