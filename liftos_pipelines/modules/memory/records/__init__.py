"""What memory holds: items from tables and events, and their versions in world time and system time."""
