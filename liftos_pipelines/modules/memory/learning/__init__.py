"""What memory has learned: patterns with a chance of success, insights, and how good recall is."""
