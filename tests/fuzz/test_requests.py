"""Mutated requests on a real socket: each answer is a documented status with a problem document, and none is a 500."""

import json
import random
import re
import time
from collections import Counter
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.api.live import Server
from tests.fuzz import REQUESTS, SEED, UPLOADS
from tests.fuzz.exchange import Answer, Request, exchange
from tests.fuzz.mutations import TEXTS, any_value, encoded, mutated_bytes, mutated_json

LARGEST_RSS = 250 * 2**20
LARGEST_GROWTH = 64 * 2**20
# Statuses beyond those of an operation in the document, by the mutated part.
OF_QUERIES = frozenset({422})
OF_PATHS = frozenset({404, 405, 414, 422})
OF_HEADERS = frozenset({400, 403, 415, 416, 421, 422, 431})
OF_HEADS = frozenset({400, 403, 404, 405, 408, 411, 413, 414, 415, 416, 417, 421, 422, 431, 501, 505})
QUERIES = [
    "limit=1",
    "after=x",
    "status=queued",
    "limit=0",
    "limit=9999999999999",
    "name=loss",
    "format=onnx",
    "a=b",
    "%ff=%00",
]
HEADERS = {
    "Content-Type": ["application/json", "text/plain", "application/json; charset=utf-16", "\xff"],
    "Prefer": ["wait=0", "wait=-1", "wait=nan", "respond-async", "wait=" + "9" * 400],
    "Idempotency-Key": ["a", "a" * 10_000, "\x01", "é", '"quoted"', ""],
    "If-None-Match": ["*", '"x"', "W/" + '"y",' * 500, "\xff"],
    "Range": ["bytes=0-0", "bytes=5-1", "bytes=-", "lines=1-2", "bytes=0-1,2-3", "bytes=" + "0-1," * 300],
    "Accept": ["text/html", "*/*;q=nan", "application/json"],
    "Content-Encoding": ["gzip", "identity"],
    "Transfer-Encoding": ["chunked", "gzip, chunked"],
    "Content-Length": ["-1", "abc", "0", "99999999999999999999"],
    "Origin": ["null", "http://localhost", "https://evil.example"],
    "Host": ["localhost", "evil.example", "[::1", ""],
    "Expect": ["100-continue", "x"],
}  # fmt: skip


def bodies(ids: dict[str, str]) -> dict[str, list[Any]]:
    """Valid bodies by path."""
    train = {"seed": 7, "name": "a", "priority": "low", "metadata": {"k": "v"}, "max_attempts": 1, "timeout_s": 60}
    return {
        "/v1/training-jobs": [
            {"model_type": "vae", "dataset": "digits", "preset": "fast", "hyperparameters": {"epochs": 1}, **train},
            {"model_type": "lstm", "dataset": "verses", "hyperparameters": {"layers": [8], "window": 9}, **train},
            {"model_type": "acgan", "dataset": "digits", "hyperparameters": {"epochs": 1, "label_map": None}, **train},
            {"model_type": "gan", "dataset": "digits", "hyperparameters": {"epochs": 1}, "init_from": ids["mdl"]},
        ],
        "/v1/generation-jobs": [
            {"model": ids["mdl"], "sampling": {"mode": "grid", "points": 3, "start": -4, "end": 4}, "format": "png"},
            {"model": ids["mdl"], "sampling": {"mode": "latent", "z": [[0.1, 0.2]]}, "seed": 1, "name": "b"},
            {"model": ids["trn"], "sampling": {"mode": "interpolate", "from": [0, 0], "to": [1, 1], "steps": 3}},
        ],
    }


def requests(document: dict[str, Any], ids: dict[str, str], chance: random.Random) -> Request:
    """A valid request of a random operation."""
    operations = [(method.upper(), path) for path, item in document["paths"].items() for method in item]
    method, path = chance.choice([*operations, *[each for each in operations if each[0] != "GET"] * 2])
    kinds = {
        "training-jobs": "trn",
        "generation-jobs": "gen",
        "models": "mdl",
        "artifacts": "art",
        "datasets": "dataset",
    }
    resource = path.split("/")[2] if path.startswith("/v1/") else ""
    value = "vae" if resource == "model-types" else ids.get(kinds.get(resource, ""), "x")
    if method == "DELETE":  # the other requests need their resources
        value = ids.pop(next((name for name in ids if name.startswith(f"spare-{value[:3]}")), ""), value[:-1])
    target = re.sub(r"\{\w+\}", value, path)
    request = Request(operation=(method, path), method=method, target=target)
    if "application/json" in document["paths"][path][method.lower()].get("requestBody", {}).get("content", {}):
        request.headers["Content-Type"] = "application/json"
        request.body = encoded(chance.choice(bodies(ids).get(path, [{"priority": "low"}, {"description": "x"}, {}])))
    return request


def mutated(request: Request, chance: random.Random) -> Request:
    """The request after one mutation of its body, its fields, its target or its whole head."""
    choice = chance.random()
    if request.body and choice < 0.45:
        request.body = encoded(mutated_json(json.loads(request.body), chance))
    elif request.body and choice < 0.7:
        request.body = mutated_bytes(request.body, chance)
    elif choice < 0.8:
        name = chance.choice(list(HEADERS))
        request.headers[name] = chance.choice(HEADERS[name])
        is_length = name in {"Content-Length", "Transfer-Encoding", "Expect"}
        request.extra = OF_HEADERS
        if is_length:
            request.head, request.extra = (
                request.to_bytes("localhost").partition(b"\r\n\r\n")[0] + b"\r\n\r\n",
                OF_HEADS,
            )
    elif choice < 0.9:
        request.target += "?" + "&".join(chance.choices(QUERIES, k=chance.randint(1, 3)))
        request.extra = OF_QUERIES
    elif choice < 0.96:
        parts = request.target.split("/")
        parts[chance.randrange(1, len(parts))] = quote(chance.choice(TEXTS).encode("utf-8", "replace"), safe=".")[:2000]
        request.target, request.extra = "/".join(parts), OF_PATHS
    else:
        head = request.to_bytes("localhost").partition(b"\r\n\r\n")[0]
        request.head, request.extra = mutated_bytes(head, chance) + b"\r\n\r\n", OF_HEADS
    return request


def check(document: dict[str, Any], request: Request, answer: Answer) -> None:
    """Fail unless the answer is documented, and a problem document where it is an error of a route."""
    method, path = request.operation
    shown = f"{request.to_bytes('localhost')[:1500]!r}\n{answer.status} {answer.media_type} {answer.body[:500]!r}"
    if answer.status is None:
        assert request.head is not None, f"no answer:\n{shown}"
        return
    documented = {int(status) for status in document["paths"][path][method.lower()]["responses"]}
    assert answer.status in documented | request.extra, shown
    assert answer.status != 500, shown
    if answer.status >= 400 and request.head is None and method != "HEAD":
        assert answer.media_type == "application/problem+json", shown
        assert json.loads(answer.body)["status"] == answer.status, shown


class Run:
    """Counts of one run, and the memory of the server's process."""

    def __init__(self, server: Server) -> None:
        self.server, self.statuses, self.started = server, Counter[int | None](), time.monotonic()
        self.rss = self.first_rss = 0

    def record(self, number: int, answer: Answer) -> None:
        self.statuses[answer.status] += 1
        if number == UPLOADS // 2:
            self.first_rss = self.server.resources().memory_info().rss

    def finish(self, what: str) -> None:
        self.rss = self.server.resources().memory_info().rss
        counts = ", ".join(f"{status}: {count}" for status, count in sorted(self.statuses.items(), key=str))
        seconds, first, last = time.monotonic() - self.started, self.first_rss / 2**20, self.rss / 2**20
        print(f"\n{self.statuses.total():,} mutated {what}, seed {SEED}, {seconds:.0f} s: {counts}")
        print(f"Memory of the API: {first:.0f} MiB after the first {UPLOADS // 2}, {last:.0f} MiB at the end")
        assert "Traceback" not in self.server.log.read_text(errors="replace")
        assert self.rss < LARGEST_RSS
        assert self.rss - self.first_rss < LARGEST_GROWTH


@pytest.fixture
def document(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{server.url}/openapi/openapi.json", trust_env=False, timeout=30).json()
    return found


def test_mutated_requests(server: Server, ids: dict[str, str], document: dict[str, Any]) -> None:
    chance, run = random.Random(SEED), Run(server)
    for number in range(REQUESTS):
        request = mutated(requests(document, ids, chance), chance)
        answer = exchange(server.url, request)
        run.record(number, answer)
        check(document, request, answer)
    run.finish("requests")


def test_mutated_uploads(server: Server, document: dict[str, Any]) -> None:
    chance, run = random.Random(SEED), Run(server)
    for number in range(UPLOADS):
        request = upload(number, chance)
        answer = exchange(server.url, request)
        run.record(number, answer)
        check(document, request, answer)
    run.finish("uploads")


def upload(number: int, chance: random.Random) -> Request:
    """A multipart form with mutated fields, text or bytes."""
    fields: dict[str, Any] = {"name": f"text-{number}", "kind": "text", "description": "a text"}
    text = "".join(chance.choices("abcdefgh éü😀\n\t", k=chance.choice([0, 10, 2_000, 20_000]))).encode()
    if chance.random() < 0.4:
        changed = mutated_json(fields, chance)
        fields = changed if isinstance(changed, dict) else {"name": any_value(chance)}
    if chance.random() < 0.4:
        text = mutated_bytes(text, chance)
    parts = [form_part(name, str(value).encode("utf-8", "replace")) for name, value in fields.items()]
    parts.append(form_part("file", text, file_name=chance.choice(["a.txt", "../x", "\x1b.txt", "é" * 300, ""])))
    chance.shuffle(parts)
    body = b"".join(parts) + b"--limit--\r\n"
    if chance.random() < 0.4:
        body = mutated_bytes(body, chance)
    content_type = "multipart/form-data; boundary=limit"
    if chance.random() < 0.1:
        content_type = chance.choice(
            ["multipart/form-data", "multipart/form-data; boundary=", "text/plain", content_type * 50]
        )
    request = Request(operation=("POST", "/v1/datasets"), method="POST", target="/v1/datasets", body=body)
    request.headers["Content-Type"] = content_type
    return request


def form_part(name: str, data: bytes, file_name: str | None = None) -> bytes:
    disposition = f'form-data; name="{name}"' + (f'; filename="{file_name}"' if file_name is not None else "")
    return f"--limit\r\nContent-Disposition: {disposition}\r\n\r\n".encode("utf-8", "replace") + data + b"\r\n"
