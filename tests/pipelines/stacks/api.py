"""An API server that answers from a table: real HTTP for the real client, no cluster."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kubernetes import client

from pipelines.stacks.cluster import Cluster, limited

Object = dict[str, Any]


@dataclass
class Api:
    """What the server has, and what it was told."""

    url: str = ""
    objects: dict[str, Object] = field(default_factory=dict)
    """By path, such as /api/v1/nodes; lists hold "items"."""
    refused: dict[str, int] = field(default_factory=dict)
    """Status by path, for what is not allowed or broken."""
    allowed: Callable[[Object], bool] = lambda spec: True
    """Answers access reviews, by their spec."""
    made: list[tuple[str, Object]] = field(default_factory=list)
    """Path and body of what was posted."""
    deleted: list[str] = field(default_factory=list)
    asked: list[tuple[str, dict[str, list[str]]]] = field(default_factory=list)
    """Path and query of what was read."""

    def put(self, path: str, *items: Object) -> None:
        """Let a path hold a list."""
        self.objects[path] = {"kind": "List", "apiVersion": "v1", "metadata": {}, "items": [*items]}

    def cluster(self, namespace: str = "saga") -> Cluster:
        """A connection."""
        settings = client.Configuration(host=self.url)
        settings.retries = 0
        return Cluster(limited(settings), namespace)

    def kubeconfig(self, folder: Path, context: str = "saga") -> Path:
        """A kubeconfig with one context."""
        path = folder / "kubeconfig"
        text = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": context,
            "clusters": [{"name": "stub", "cluster": {"server": self.url}}],
            "users": [{"name": "nobody", "user": {"token": "none"}}],
            "contexts": [{"name": context, "context": {"cluster": "stub", "user": "nobody"}}],
        }
        path.write_text(json.dumps(text))
        return path

    def answer(self, method: str, path: str, body: Object) -> tuple[int, Any]:
        """Status and body of an answer."""
        if path in self.refused:
            status = self.refused[path]
            return status, {"kind": "Status", "message": f"{path} is refused", "code": status}
        if method == "POST":
            if path.endswith("accessreviews"):
                return 201, body | {"status": {"allowed": self.allowed(body["spec"])}}
            self.made.append((path, body))
            return 201, body
        if method == "DELETE":
            self.deleted.append(path)
            return 200, {"kind": "Status", "status": "Success"}
        if path in self.objects:
            return 200, self.objects[path]
        listed, _, name = path.rpartition("/")
        for item in self.objects.get(listed, {}).get("items", []):
            if item["metadata"]["name"] == name:
                return 200, item
        return 404, {"kind": "Status", "message": f"{path} not found", "code": 404}


@contextmanager
def served() -> Iterator[Api]:
    """A server on loopback, for as long as the block runs."""
    api = Api()

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            place = urlsplit(self.path)
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size)) if size else {}
            if self.command == "GET":
                api.asked.append((place.path, parse_qs(place.query)))
            status, answer = api.answer(self.command, place.path, body)
            text = answer if isinstance(answer, str) else json.dumps(answer)
            self.send_response(status)
            kind = "text/plain" if isinstance(answer, str) else "application/json"
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_DELETE = do_PATCH = _do

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
