"""A small Hugging Face Hub on this machine: a real HTTP server for real clients, with what model repositories need.

A client finds it by `HF_ENDPOINT`, which huggingface_hub reads when it is imported: give `HubEndpoint.environment` to a
new process. As on the Hub, weights are uploaded apart from their commit (by Git LFS; there is no Xet) and downloaded
from a store of another name, which must not be shown the token. It can cut connections halfway.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

OWNER = "someone"
TOKEN = "hf_TheOwnersSecretTokenXyzzy"
PIPELINE_TAGS = {"text-classification", "feature-extraction", "token-classification"}
LICENSES = {"apache-2.0", "mit", "cc-by-4.0", "cc-by-sa-4.0", "bsd-3-clause", "openrail", "other", "unknown"}
IN_LFS = (".safetensors", ".onnx", ".bin", ".pt")
RELATIONS = {"adapter", "merge", "quantized", "finetune"}


class Refusal(Exception):
    """An answer that is an error, as the Hub words it."""

    def __init__(self, status: int, message: str, code: str | None = None, **more: Any) -> None:
        super().__init__(message)
        self.status, self.code, self.more = status, code, more


@dataclass(frozen=True)
class Elsewhere:
    """An answer that says where the file is."""

    headers: dict[str, str]


@dataclass
class Repository:
    """Commits by their ids, and branches by their names; a commit is all files by path."""

    private: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, branch: str, files: dict[str, bytes], message: str) -> str:
        digest = hashlib.sha1(f"{branch} {len(self.commits)} {message}".encode())
        for path, content in sorted(files.items()):
            digest.update(path.encode() + b"\0" + content)
        self.commits[digest.hexdigest()] = files
        self.branches[branch] = digest.hexdigest()
        self.messages.append(message)
        return digest.hexdigest()

    def resolve(self, revision: str) -> str:
        sha = self.branches.get(revision, revision)
        if sha not in self.commits:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return sha


class HubEndpoint:
    """The server. `with HubEndpoint() as hub:` starts and stops it.

    Attributes:
        repositories: By id, such as `someone/tiny`.
        requests: Method and path of each request, in order.
        uploaded: The body of each request, in order.
        stored: What was uploaded by Git LFS, by its SHA-256.
        cut: Called with method and path; true cuts the connection in the middle of the body.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.requests: list[tuple[str, str]] = []
        self.uploaded: list[bytes] = []
        self.stored: dict[str, bytes] = {}
        self.cut: Callable[[str, str], bool] = lambda method, path: False
        self.lock = threading.RLock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.store_url = f"http://localhost:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def environment(self, home: Path, token: str | None = TOKEN) -> dict[str, str]:
        """Variables for a client process with a cache of its own; they override what makes it stay offline."""
        variables = {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "HF_TOKEN": token or "",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }
        return variables

    def files(self, name: str, revision: str = "main") -> dict[str, bytes]:
        """All files of a repository but `.gitattributes`, which the Hub makes itself."""
        repository = self.repositories[name]
        files = repository.commits[repository.resolve(revision)]
        return {path: content for path, content in files.items() if path != ".gitattributes"}


def check_metadata(content: str) -> list[str]:
    """Say what the Hub would not take in the metadata of a card."""
    match = re.match(r"---\r?\n(.*?)\r?\n---\r?\n", content, flags=re.DOTALL)
    try:
        data = yaml.safe_load(match.group(1)) if match else None
    except yaml.YAMLError as error:
        return [f"The metadata are not YAML: {error}"]
    if not isinstance(data, dict):
        return ["There are no metadata"]
    errors = []
    for key, known in {"pipeline_tag": PIPELINE_TAGS, "license": LICENSES, "base_model_relation": RELATIONS}.items():
        if key in data and data[key] not in known:
            errors.append(f'"{key}" must be one of {sorted(known)}')
    for key in ("tags", "datasets", "metrics", "language", "base_model"):
        given = data.get(key, [])
        if not all(isinstance(each, str) for each in (given if isinstance(given, list) else [given])):
            errors.append(f'"{key}" must be made of strings')
    return errors + [error for model in data.get("model-index", []) for error in _check_results(model["results"])]


def _check_results(results: list[dict[str, Any]]) -> list[str]:
    errors = []
    for result in results:
        if not {"task", "dataset", "metrics"} <= set(result) or not {"name", "type"} <= set(result["dataset"]):
            errors.append('"model-index" has a result without task, dataset or metrics')
        if any(not isinstance(metric.get("value"), int | float) for metric in result.get("metrics", [])):
            errors.append('"model-index" has a metric that is no number')
    return errors


class _Handler(BaseHTTPRequestHandler):
    hub: HubEndpoint
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Stay silent."""

    def do_HEAD(self) -> None:
        self._handle()

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_PUT(self) -> None:
        self._handle()

    def _handle(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.query = {name: values[-1] for name, values in parse_qs(urlsplit(self.path).query).items()}
        with self.hub.lock:
            self.hub.requests.append((self.command, path))
        is_cut = self.hub.cut(self.command, path)
        if is_cut and self.command in ("POST", "PUT"):
            self.rfile.read(int(self.headers.get("Content-Length", 2)) // 2)
            self._hang_up()
            return
        body = self._read_body()
        try:
            with self.hub.lock:
                self.hub.uploaded.append(body)
                self.user = self._authenticate()
                answer = self._answer(path, body)
        except Refusal as refusal:
            headers = {"X-Error-Message": str(refusal)} | ({"X-Error-Code": refusal.code} if refusal.code else {})
            self._send(refusal.status, json.dumps({"error": str(refusal), **refusal.more}).encode(), headers)
            return
        if isinstance(answer, Elsewhere):
            self._send(302, b"", answer.headers)
        elif isinstance(answer, tuple):
            self._send_file(*answer, is_cut=is_cut)
        else:
            self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _send_file(self, content: bytes, headers: dict[str, str], *, is_cut: bool) -> None:
        start = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        first = int(start.group(1)) if start else 0
        status = 206 if start else 200
        if start:
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        rest = content[first:]
        if not is_cut or self.command == "HEAD":
            self._send(status, rest, headers)
            return
        self._send(status, rest[: len(rest) // 2], {**headers, "Content-Length": str(len(rest))})
        self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        self.wfile.flush()

    # ---- what the Hub knows ----

    def _authenticate(self) -> str | None:
        given = self.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        if given and given != TOKEN:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return OWNER if given else None

    def _repository(self, name: str) -> Repository:
        repository = self.hub.repositories.get(name)
        if repository is None or (repository.private and self.user is None):
            status = 404 if self.user else 401  # to strangers the Hub does not tell which repositories there are
            raise Refusal(status, "Repository not found", "RepoNotFound")
        return repository

    def _answer(self, path: str, body: bytes) -> Any:
        routes: list[tuple[str, str, Callable[..., Any]]] = [
            ("GET", r"/api/whoami-v2", self._whoami),
            ("POST", r"/api/validate-yaml", self._validate),
            ("POST", r"/api/repos/create", self._create),
            ("POST", r"/api/models/([^/]+/[^/]+)/preupload/(.+)", self._preupload),
            ("POST", r"/api/models/([^/]+/[^/]+)/commit/(.+)", self._commit),
            ("POST", r"/api/models/([^/]+/[^/]+)/branch/(.+)", self._branch),
            ("GET", r"/api/models/([^/]+/[^/]+)/tree/([^/]+)()", self._tree),
            ("GET", r"/api/models/([^/]+/[^/]+)/tree/([^/]+)/(.+)", self._tree),
            ("GET", r"/api/models/([^/]+/[^/]+)", self._info),
            ("GET", r"/api/models/([^/]+/[^/]+)/revision/(.+)", self._info),
            ("GET", r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self._resolve),
            ("POST", r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", self._batch),
            ("PUT", r"/store/(.+)", self._store),
            ("GET", r"/store/(.+)", self._fetch),
        ]
        method = "GET" if self.command == "HEAD" else self.command
        for known, pattern, function in routes:
            match = re.fullmatch(pattern, path)
            if known == method and match:
                return function(*match.groups(), **({} if method == "GET" else {"body": body}))
        raise Refusal(404, f"There is no {self.command} {path}")

    def _require_user(self) -> str:
        if self.user is None:
            raise Refusal(401, "Invalid username or password.")
        return self.user

    def _whoami(self) -> Any:
        return {"type": "user", "name": self._require_user(), "orgs": [], "auth": {"type": "access_token"}}

    def _validate(self, body: bytes) -> Any:
        content = json.loads(body)["content"]
        if not content.startswith("---"):
            return {"errors": [], "warnings": [{"message": "empty or missing yaml metadata in repo card"}]}
        if errors := check_metadata(content):
            raise Refusal(400, "Invalid metadata", errors=[{"message": error} for error in errors], warnings=[])
        return {"errors": [], "warnings": []}

    def _create(self, body: bytes) -> Any:
        asked = json.loads(body)
        owner = self._require_user()
        if asked.get("organization") not in (None, owner):
            raise Refusal(403, f"You don't have the rights to create a model under {asked['organization']!r}")
        name = f"{owner}/{asked['name']}"
        if name in self.hub.repositories:
            raise Refusal(409, "You already created this model repo", url=f"{self.hub.url}/{name}", name=name)
        is_private = asked.get("visibility") == "private" or asked.get("private") is True
        repository = self.hub.repositories[name] = Repository(is_private)
        repository.commit("main", {".gitattributes": b""}, "initial commit")
        return {"url": f"{self.hub.url}/{name}", "name": name}

    def _preupload(self, name: str, revision: str, body: bytes) -> Any:
        self._require_user()
        repository = self._repository(name)
        files = repository.commits[repository.resolve(revision)]
        asked = [each["path"] for each in json.loads(body)["files"]]
        return {
            "files": [
                {
                    "path": path,
                    "uploadMode": "lfs" if path.endswith(IN_LFS) else "regular",
                    "shouldIgnore": False,
                    "oid": _blob_id(files[path]) if path in files else None,
                }
                for path in asked
            ]
        }

    def _commit(self, name: str, revision: str, body: bytes) -> Any:
        self._require_user()
        repository = self._repository(name)
        if revision not in repository.branches:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        files = dict(repository.commits[repository.branches[revision]])
        message = ""
        for line in body.splitlines():
            operation = json.loads(line)
            value = operation["value"]
            if operation["key"] == "header":
                message = value["summary"]
            elif operation["key"] == "file":
                if value["path"].endswith(IN_LFS):
                    raise Refusal(400, f"{value['path']} must be uploaded by Git LFS")
                files[value["path"]] = base64.b64decode(value["content"])
            elif operation["key"] == "lfsFile":
                if value["oid"] not in self.hub.stored:
                    raise Refusal(400, f"{value['path']} points to nothing that was uploaded")
                files[value["path"]] = self.hub.stored[value["oid"]]
            elif operation["key"] == "deletedFile":
                del files[value["path"]]
        sha = repository.commit(revision, files, message)
        return {"commitUrl": f"{self.hub.url}/{name}/commit/{sha}", "commitOid": sha, "success": True}

    def _batch(self, name: str, body: bytes) -> Any:
        self._require_user()
        self._repository(name)
        asked = json.loads(body)["objects"]
        for each in asked:
            if each["oid"] not in self.hub.stored:  # what is there already needs no upload
                each["actions"] = {"upload": {"href": f"{self.hub.store_url}/store/{each['oid']}"}}
        return {"transfer": "basic", "objects": asked}

    def _store(self, oid: str, body: bytes) -> Any:
        self._refuse_token()
        if hashlib.sha256(body).hexdigest() != oid:
            raise Refusal(400, "The content is not what was announced")
        self.hub.stored[oid] = body
        return {}

    def _fetch(self, oid: str) -> tuple[bytes, dict[str, str]]:
        self._refuse_token()
        return self.hub.stored[oid], {"ETag": f'"{oid}"', "Accept-Ranges": "bytes"}

    def _refuse_token(self) -> None:
        if self.user is not None:
            raise Refusal(400, "Only one way to authenticate is allowed")  # the addresses of the Hub's store are signed

    def _branch(self, name: str, branch: str, body: bytes) -> Any:
        self._require_user()
        repository = self._repository(name)
        if branch in repository.branches:
            raise Refusal(409, f"Reference already exists: refs/heads/{branch}")
        repository.branches[branch] = repository.resolve(json.loads(body or b"{}").get("startingPoint") or "main")
        return {}

    def _info(self, name: str, revision: str = "main") -> Any:
        repository = self._repository(name)
        sha = repository.resolve(revision)
        siblings = [{"rfilename": path} for path in sorted(repository.commits[sha])]
        known = {"_id": name, "id": name, "modelId": name, "private": repository.private, "tags": [], "downloads": 0}
        return {**known, "sha": sha, "siblings": siblings, "likes": 0}

    def _tree(self, name: str, revision: str, folder: str) -> Any:
        repository = self._repository(name)
        files = repository.commits[repository.resolve(revision)]
        inside = {path: content for path, content in files.items() if not folder or path.startswith(f"{folder}/")}
        if folder and not inside:
            raise Refusal(404, f"{folder} does not exist", "EntryNotFound")
        is_recursive = self.query.get("recursive", "").lower() in ("true", "1")
        depth = folder.count("/") + bool(folder)
        return [
            {"type": "file", "path": path, "size": len(content), "oid": _blob_id(content)}
            for path, content in sorted(inside.items())
            if is_recursive or path.count("/") == depth
        ]

    def _resolve(self, name: str, revision: str, path: str) -> tuple[bytes, dict[str, str]] | Elsewhere:
        repository = self._repository(name)
        sha = repository.resolve(revision)
        if path not in repository.commits[sha]:
            raise Refusal(404, "Entry not found", "EntryNotFound")
        content = repository.commits[sha][path]
        if path.endswith(IN_LFS):
            oid = hashlib.sha256(content).hexdigest()
            linked = {"X-Linked-Etag": f'"{oid}"', "X-Linked-Size": str(len(content)), "X-Repo-Commit": sha}
            return Elsewhere({"Location": f"{self.hub.store_url}/store/{oid}", **linked})
        return content, {"ETag": f'"{_blob_id(content)}"', "X-Repo-Commit": sha, "Accept-Ranges": "bytes"}


def _blob_id(content: bytes) -> str:
    """Give the id that git has for a file."""
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
