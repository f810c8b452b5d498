"""gRPC: the services, and the port that offers them."""
