import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from client.following import Follower, JsonPresenter, PlainPresenter
from client.http import Client
from client.live import LivePresenter
from client.readiness import ReadinessNotices
from tests.client.server import Reply, Request, serving, training_job
from tests.client.test_images import png

TEXT = {"id": "art_1", "name": "epoch-0001-t0.25.txt", "media_type": "text/plain", "epoch": 1}
GRID: dict[str, Any] = {"id": "art_2", "name": "epoch-0001-grid.png", "media_type": "image/png", "epoch": 1}
ALARM = {
    "id": 3,
    "type": "mode_collapse",
    "message": "It has collapsed. Use a smaller learning_rate.",
    "data": {"hint": "…"},
}
CONTENT = {"art_1": b"to be or not", "art_2": png(8, 8)}


def answers() -> "list[dict[str, object]]":
    queued = training_job(status="queued", queue_position=1, progress=None, started_at=None)
    done = training_job(status="succeeded", is_terminal=True, duration_s=3.0, model="mdl_1")
    return [queued, training_job(), done]


def follow(tmp_path: Path, presenter: PlainPresenter | JsonPresenter | LivePresenter) -> str:
    jobs = answers()
    samples = [{**sample, "details": {}} for sample in (GRID, TEXT)]

    def answer(request: Request) -> Reply:
        if request.path.endswith("/stream"):
            return Reply(status=503, body={"code": "unavailable", "detail": "200 streams are open."})
        if "/events" in request.path:
            return Reply(body={"data": [ALARM] if "after" not in request.path else [], "has_more": False})
        if "/samples" in request.path:
            return Reply(body={"data": samples if len(jobs) < 2 else [], "has_more": False})
        if "/artifacts/" in request.path:
            return Reply(body=CONTENT[request.path.split("/")[3]])
        return Reply(body=jobs.pop(0))

    with serving(answer) as server, Client(server.url) as client:
        return Follower(client, "trn_1", presenter, tmp_path / "samples").run()["status"]


def test_each_sample_is_saved_once(tmp_path: Path) -> None:
    assert follow(tmp_path, PlainPresenter(Console(file=io.StringIO()))) == "succeeded"
    saved = {path.name: path.read_bytes() for path in (tmp_path / "samples").iterdir()}
    assert saved == {TEXT["name"]: CONTENT["art_1"], GRID["name"]: CONTENT["art_2"]}


def test_pipe_gets_plain_lines(tmp_path: Path) -> None:
    buffer = io.StringIO()
    follow(tmp_path, PlainPresenter(Console(file=buffer)))
    lines = buffer.getvalue().splitlines()
    assert "\x1b" not in buffer.getvalue()
    assert lines[1] == "trn_1  queued  position 1"  # after the warning that the job had before
    assert lines[-1].startswith("trn_1  succeeded")
    assert any("epoch 3/10" in line and "loss 28.41" in line for line in lines)
    assert sum(line.startswith("sample") for line in lines) == 2
    assert [line for line in lines if line.startswith("warning")] == [f"warning  mode_collapse  {ALARM['message']}"]


def test_json_lines_parse_one_by_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    follow(tmp_path, JsonPresenter())
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["job"]["status"] for line in lines if line["type"] == "job"] == ["queued", "running", "succeeded"]
    paths = [Path(line["path"]) for line in lines if line["type"] == "sample"]
    assert len(paths) == 2
    assert all(path.exists() for path in paths)


def test_terminal_shows_a_bar_the_text_and_the_picture(tmp_path: Path) -> None:
    buffer = io.StringIO()
    console = Console(file=buffer, force_terminal=True, color_system="truecolor", width=160, height=40)
    follow(tmp_path, LivePresenter(console))
    shown = buffer.getvalue()
    assert "to be or not" in shown
    assert "▀" in shown
    assert "succeeded" in shown


def test_terminal_without_colour_gets_no_blocks(tmp_path: Path) -> None:
    buffer = io.StringIO()
    follow(tmp_path, LivePresenter(Console(file=buffer, force_terminal=True, color_system=None, width=160)))
    assert "▀" not in buffer.getvalue()
    assert GRID["name"] in buffer.getvalue()


def test_a_job_is_followed_on_its_stream_and_after_a_lost_connection_from_its_position() -> None:
    queued, running, done = answers()
    pieces = [
        b"retry: 1000\n\n" + sse("job", queued, "m0.e1.s-1"),
        sse("metrics", {"points": []}, None) + sse("job", running, "m9.e1.s-1") + b"event: job\ndata: {",
        b": \n\n" + sse("job", done, "m12.e2.s-1") + sse("end", {}, "m12.e2.s-1"),
    ]
    kind = {"Content-Type": "text/event-stream; charset=utf-8"}
    with serving(lambda _: Reply(body=pieces.pop(0), headers=kind)) as server, Client(server.url) as client:
        shown = [job["status"] for job in client.watch("trn_1")]
    assert shown == ["queued", "running", "succeeded"]
    assert [request.headers.get("Last-Event-ID") for request in server.requests] == [None, "m0.e1.s-1", "m9.e1.s-1"]


def sse(name: str, data: object, position: str | None) -> bytes:
    """One event of a stream."""
    head = f"event: {name}\n" + (f"id: {position}\n" if position else "")
    return f"{head}data: {json.dumps(data)}\n\n".encode()


def test_a_silent_follower_shows_each_failing_check_of_the_server_once(tmp_path: Path) -> None:
    _, running, done = answers()
    full = {"name": "disk", "ok": False, "detail": "The disk has 0 bytes left."}
    checks = [{"name": "redis", "ok": True, "detail": None}, full]
    stream = sse("job", running, "m1") + b": \n\n" * 2 + sse("job", done, "m2")

    def answer(request: Request) -> Reply:
        if request.path == "/readyz":
            return Reply(status=503, body={"status": "unavailable", "checks": checks})
        if request.path.endswith("/stream"):
            return Reply(body=stream, headers={"Content-Type": "text/event-stream"})
        return Reply(body={"object": "list", "data": [], "has_more": False})

    buffer = io.StringIO()
    with serving(answer) as server, Client(server.url) as client:
        presenter = PlainPresenter(Console(file=buffer, width=200))
        Follower(client, "trn_1", presenter, tmp_path, ReadinessNotices(client, every_s=0)).run()
    assert buffer.getvalue().count("waiting  The disk has 0 bytes left.") == 1
