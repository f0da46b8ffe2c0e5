"""What to spend: budgets under bounds and risk, and scenarios with explicit futures."""
