"""Samples to learn from, one kind of source a file."""
