"""Data with its truth, one kind of source a file: what people have in folders, archives and tables, as samples.

Nothing is decoded here: a sample's item is what a predictor takes, or a function that reads it when its turn comes, so
that memory stays flat however many there are.
"""
