"""The models of a server: versions, loading, engines, batching, and what can be asked of them."""
