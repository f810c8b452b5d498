"""The embedded server: TF Serving's gRPC and REST, for bundles, SavedModels and every model of the zoo.

Rooms, from the wire inwards:

- `http` and `rpc`: the two ports, what may be asked on each, and how it is answered.
- `wire`: messages, tensors, JSON and statuses as they are sent; no sockets.
- `service`: what both ports share.
- `models`: which versions there are, how they are loaded, and how they run.

`server` puts them together as `options` says, which `flags` were given; `scale` does so on a cluster; `client` asks.
"""
