"""Do the language models do their job: groundedness, experiments, performance and bias of recorded calls."""
