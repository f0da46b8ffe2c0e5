"""From the client's tables to arrays: the weekly panel, the design in frozen units, its baseline, lift tests."""
