"""Is an output supported by what it was given: parsing, typed claims, features, spans, calibration."""
