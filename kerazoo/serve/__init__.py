"""The embedded server: TF Serving's gRPC and REST, for bundles, SavedModels and every model of the zoo.

From the wire inwards: `rest` and `rpc` decode and encode; `inference` does what both ask for; `models` knows which
versions are there and hands them out; a `Servable` runs one version on one engine.
"""
