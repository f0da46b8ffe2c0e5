"""Gates: Great Expectations suites for what comes in, statistical gates for what goes out."""
