"""What an API server asks a node for when somebody reads a pod's log: GET /containerLogs over HTTPS."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.cluster.agent.node import HOST
from tests.cluster.agent.pod import Pod
from tests.cluster.authority import Credential

Find = Callable[[str, str], Pod | None]
FOLLOW_SECONDS = 0.1
PATH_PARTS = 4


class LogServer:
    """One for all nodes."""

    def __init__(self, find: Find, own: Credential, authority: Path) -> None:
        """Listens at once.

        Args:
            find: a pod by its namespace and name.
            own: its certificate.
            authority: that signed those of who may ask.
        """
        self._server = ThreadingHTTPServer((HOST, 0), _handler(find))
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(own.certificate, own.key)
        context.load_verify_locations(authority)
        context.verify_mode = ssl.CERT_REQUIRED
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def log(pod: Pod, container: str, query: dict[str, str]) -> Iterator[bytes]:
    """A container's log, whole lines.

    Args:
        pod: it is of.
        container: its name.
        query: tailLines, limitBytes, follow.
    """
    path = pod.log(container)
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    seen = sum(map(len, lines))
    if "tailLines" in query:
        lines = lines[max(0, len(lines) - int(query["tailLines"])) :]
    text = b"".join(lines)
    yield text[: int(query["limitBytes"])] if "limitBytes" in query else text
    if query.get("follow") == "true":
        yield from _more(pod, path, seen)


def _more(pod: Pod, path: Path, seen: int) -> Iterator[bytes]:
    ended = False
    while not ended:
        ended = pod.has_ended  # before reading: what it said last is read too
        new = path.read_bytes()[seen:] if path.exists() else b""
        seen += len(new)
        yield new
        time.sleep(FOLLOW_SECONDS)


def _handler(find: Find) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            parts = asked.path.strip("/").split("/")
            pod = find(parts[1], parts[2]) if len(parts) == PATH_PARTS else None
            if parts[0] != "containerLogs" or pod is None:
                self.send_error(404, "no such log")
                return
            query = {key: values[-1] for key, values in parse_qs(asked.query).items()}
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            with suppress(ConnectionError):
                for text in log(pod, parts[3], query):
                    self.wfile.write(text)

        def log_message(self, *arguments: Any) -> None:
            pass

    return Handler
