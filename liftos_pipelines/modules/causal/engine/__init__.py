"""The model and its posterior: forms, priors, the fused density, sampling, back-tests, draws."""
