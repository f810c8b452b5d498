"""A server on this machine that sends the bytes it is told, sound HTTP or not."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

Wire = Callable[..., str]


@contextlib.contextmanager
def serving() -> Iterator[Wire]:
    """Starts servers that send these pieces, `pause` seconds apart, to everyone who asks; gives their addresses."""
    with contextlib.ExitStack() as stack:
        stop = threading.Event()

        def start(*pieces: bytes, pause: float = 0.0, keep: bool = False, forever: bytes = b"") -> str:
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def serve(peer: socket.socket) -> None:
                with peer, contextlib.suppress(OSError):
                    while peer.recv(65536):
                        for piece in pieces:
                            peer.sendall(piece)
                            stop.wait(pause)
                        while forever and not stop.wait(pause):
                            peer.sendall(forever)
                        if not keep:
                            return

            def accept() -> None:
                with contextlib.suppress(OSError):
                    while True:
                        threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()

            threading.Thread(target=accept, daemon=True).start()
            stack.callback(server.shutdown, socket.SHUT_RDWR)
            return f"http://127.0.0.1:{server.getsockname()[1]}/a"

        yield start
        stop.set()
