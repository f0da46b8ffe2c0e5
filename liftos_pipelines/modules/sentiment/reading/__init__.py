"""Texts to numbers to words: what a mention says, in which language, with what feeling, and of whom."""
