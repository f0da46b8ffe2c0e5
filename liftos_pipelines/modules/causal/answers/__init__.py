"""What each channel did: contributions, returns, response curves."""
