"""The Kubernetes API in plain dicts, for the node agent and the tests.

api.get("/api/v1/nodes")["items"]
api.create("/apis/batch/v1/namespaces/saga/jobs", job)
"""

import base64
import json
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests
import yaml

Object = dict[str, Any]

MERGE = "application/strategic-merge-patch+json"
CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 30.0
NOT_FOUND, CONFLICT = 404, 409


class ApiError(Exception):
    """The API server said no."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


class Api:
    """One user's way to the API server; may be used by several threads."""

    def __init__(self, kubeconfig: Path, user: str = "") -> None:
        """The current context of a kubeconfig.

        Args:
            kubeconfig: its path.
            user: somebody else to be, if its own user may.
        """
        self._context = _Context(kubeconfig)
        self._headers = {"Accept": "application/json, */*"}
        if user:
            self._headers["Impersonate-User"] = user
        self._local = threading.local()

    @property
    def server(self) -> str:
        """Address of the API server."""
        return self._context.server

    def get(self, path: str, **query: str | int) -> Object:
        """An object, or a list of them.

        Raises:
            ApiError: if the server says no.
            requests.RequestException: if it does not answer.
        """
        return self._call("GET", path, query)

    def find(self, path: str) -> Object | None:
        """An object, or None where there is none of that name."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    def create(self, path: str, body: Object) -> Object:
        """Make an object in a collection."""
        return self._call("POST", path, {}, body)

    def patch(self, path: str, body: Object) -> Object:
        """Merge into an object; conditions by their type, taints by their key."""
        return self._call("PATCH", path, {}, body, MERGE)

    def delete(self, path: str, body: Object | None = None) -> None:
        """Delete an object; it may be gone already."""
        try:
            self._call("DELETE", path, {}, body)
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise

    def text(self, path: str, **query: str | int) -> str:
        """What is not an object, such as a log."""
        return self._answer("GET", path, query).text

    def watch(self, path: str, version: str, seconds: int, **query: str) -> Iterator[Object]:
        """What happens in a collection, from a version on; ends after some seconds."""
        asked = query | {"watch": "1", "resourceVersion": version, "timeoutSeconds": str(seconds)}
        with self._answer("GET", path, asked, stream=True, patience=seconds + 10.0) as answer:
            for line in answer.iter_lines(chunk_size=None):
                yield json.loads(line)

    def _call(
        self,
        method: str,
        path: str,
        query: dict[str, Any],
        body: Object | None = None,
        content: str = "application/json",
    ) -> Object:
        answer = self._answer(method, path, query, body=body, content=content)
        found: Object = answer.json()
        return found

    def _answer(
        self,
        method: str,
        path: str,
        query: dict[str, Any],
        *,
        body: Object | None = None,
        content: str = "application/json",
        stream: bool = False,
        patience: float = ANSWER_SECONDS,
    ) -> requests.Response:
        answer = self._session().request(
            method,
            self._context.server + path,
            params=query,
            data=None if body is None else json.dumps(body),
            headers=self._headers | {"Content-Type": content},
            stream=stream,
            timeout=(CONNECT_SECONDS, patience),
        )
        if answer.status_code >= requests.codes.bad_request:
            raise ApiError(answer.status_code, _message(answer))
        return answer

    def _session(self) -> requests.Session:
        """One a thread: sessions are not made for several."""
        if not hasattr(self._local, "session"):
            self._local.session = self._context.session()
        session: requests.Session = self._local.session
        return session


class _Context:
    """Server and credentials of a kubeconfig."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        context = _named(config["contexts"], config["current-context"])["context"]
        cluster = _named(config["clusters"], context["cluster"])["cluster"]
        self._user = _named(config["users"], context["user"])["user"]
        self._folder = tempfile.TemporaryDirectory(prefix="saga-api-")
        self.server = cluster["server"].rstrip("/")
        self._authority = self._file(cluster, "certificate-authority")
        self._certificate = self._file(self._user, "client-certificate")
        self._key = self._file(self._user, "client-key")

    def session(self) -> requests.Session:
        made = requests.Session()
        made.trust_env = False  # no proxy between us and loopback
        made.verify = self._authority or True
        if self._certificate and self._key:
            made.cert = (self._certificate, self._key)
        if "token" in self._user:
            made.headers["Authorization"] = f"Bearer {self._user['token']}"
        return made

    def _file(self, holder: Object, key: str) -> str | None:
        data = holder.get(f"{key}-data")
        if data is None:
            given: str | None = holder.get(key)
            return given
        path = Path(self._folder.name) / key
        path.write_bytes(base64.b64decode(data))
        path.chmod(0o600)
        return str(path)


def _named(entries: list[Object], name: str) -> Object:
    return next(entry for entry in entries if entry["name"] == name)


def _message(answer: requests.Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return answer.text.strip() or answer.reason
