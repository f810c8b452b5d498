"""Who may ask, and who may say which models there are; both wires judge by the same."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from kerazoo.serve.wire.status import Status


@dataclass(frozen=True)
class Access:
    """What a request must show.

    Attributes:
        token: What `Authorization: Bearer`, or gRPC's metadata of that name, must hold; `None` lets everyone ask.
        reload: Whether models may be configured over gRPC.
    """

    token: str | None = None
    reload: bool = False

    def check(self, authorization: str) -> None:
        """Raises `Status` where the header, empty if there is none, does not hold the token."""
        if self.token is None:
            return
        kind, _, given = authorization.partition(" ")
        right = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), self.token.encode())
        if kind.lower() != "bearer" or not right:
            raise Status("UNAUTHENTICATED", "The header 'Authorization: Bearer <token>' is missing or wrong.")

    def check_reload(self) -> None:
        """Raises `Status` where models may not be configured over gRPC."""
        if not self.reload:
            raise Status(
                "PERMISSION_DENIED",
                "Models are not configured over gRPC here; start the server with --allow-reload or --token-file.",
            )
