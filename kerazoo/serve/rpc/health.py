"""grpc.health.v1 beside the services."""

from __future__ import annotations

from typing import Any

from grpc_health.v1 import health, health_pb2, health_pb2_grpc

NAMES = ("", "ModelService", "PredictionService")
"""What TF Serving says is healthy: all of it, and its two services by their short names."""


async def add_to(server: Any) -> None:
    """Makes a `grpc.aio` server answer for its health: it is well as long as its port is open."""
    servicer = health.aio.HealthServicer()
    for name in NAMES:
        await servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
