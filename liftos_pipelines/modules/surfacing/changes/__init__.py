"""When visibility changed, and whose change it is: a brand's, an engine's, the world's, or our own."""
