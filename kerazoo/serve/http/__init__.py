"""REST and the pages beside it."""
