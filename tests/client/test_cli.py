import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shared.model_types import REGISTRY
from tests.client.server import Reply, Request, serving, training_job

ROOT = Path(__file__).parents[2]
LSTM = Reply(body={"id": "mdl_1", "model_type": "lstm"})


def mimeo(*arguments: str, url: str = "http://127.0.0.1:9", cwd: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    env = {**os.environ, "MIMEO_URL": url, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "client.cli", *arguments]
    return subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, timeout=30, check=False)


def test_missing_server_is_one_clear_line_and_status_2() -> None:
    done = mimeo("jobs")
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("mimeo: no Mimeo server answers at http://127.0.0.1:9")
    assert "mimeo up" in line


@pytest.mark.parametrize(
    "arguments",
    [
        ("train",),
        ("train", "vae", "--set", "epochs"),
        ("nonsense",),
        ("generate", "mdl_1", "--labels", "x"),
        ("jobs", "--kind", "x"),
    ],
)
def test_bad_usage_is_status_2_without_a_traceback(arguments: tuple[str, ...]) -> None:
    done = mimeo(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_refused_request_names_the_field_and_is_status_2() -> None:
    error = {"pointer": "/hyperparameters/epocs", "detail": "unknown; did you mean `epochs`?", "code": "unknown"}
    with serving(lambda _: Reply(422, {"code": "invalid", "detail": "no", "errors": [error]})) as server:
        done = mimeo("train", "vae", "--set", "epocs=3", url=server.url)
    assert done.returncode == 2
    assert done.stderr == "mimeo: hyperparameters.epocs: unknown; did you mean `epochs`?\n"


def test_fault_of_the_server_is_status_1() -> None:
    with serving(lambda _: Reply(500, {"code": "internal", "detail": "it broke"})) as server:
        done = mimeo("train", "vae", url=server.url)
    assert (done.returncode, done.stderr) == (1, "mimeo: it broke\n")


def test_priority_of_a_waiting_job_is_changed() -> None:
    with serving(lambda _: Reply(body=training_job(status="queued", priority="high"))) as server:
        done = mimeo("priority", "trn_1", "high", url=server.url)
    assert (done.returncode, done.stdout) == (0, "trn_1  queued\n")
    [request] = server.requests
    assert (request.method, request.path) == ("PATCH", "/v1/training-jobs/trn_1")
    assert json.loads(request.body) == {"priority": "high"}


def test_all_queued_jobs_of_a_model_type_are_cancelled() -> None:
    with serving(lambda _: Reply(body={"object": "cancelled_jobs", "count": 7})) as server:
        done = mimeo("cancel", "--all-queued", "--model-type", "vae", url=server.url)
    assert (done.returncode, done.stdout) == (0, "7 training jobs cancelled, 7 generation jobs cancelled\n")
    assert [request.path for request in server.requests] == ["/v1/training-jobs/cancel", "/v1/generation-jobs/cancel"]
    assert json.loads(server.requests[0].body) == {"status": "queued", "model_type": "vae"}


@pytest.mark.parametrize("arguments", [(), ("trn_1", "--all-queued"), ("trn_1", "--model-type", "vae")])
def test_cancel_needs_jobs_or_all_queued(arguments: tuple[str, ...]) -> None:
    done = mimeo("cancel", *arguments)
    assert done.returncode == 2
    assert "--all-queued" in done.stderr


def test_train_sends_the_given_values_and_prints_only_the_id() -> None:
    with serving(lambda _: Reply(202, training_job(status="queued"))) as server:
        done = mimeo(
            *("train", "vae", "--dataset", "digits", "--preset", "fast", "--set", "epochs=3", "--set", "layers=[8]"),
            *("--seed", "7", "--name", "007", "--priority", "high", "--metadata", "commit=831877e8"),
            *("--metadata", "lr=0.10", "--metadata", "flag=true"),
            *("--device", "cuda", "--requires", "a100", "--requires", "large"),
            url=server.url,
        )
    assert (done.returncode, done.stdout) == (0, "trn_1\n")
    assert json.loads(server.requests[0].body) == {
        "model_type": "vae",
        "dataset": "digits",
        "preset": "fast",
        "hyperparameters": {"epochs": 3, "layers": [8]},
        "seed": 7,
        "name": "007",
        "priority": "high",
        "metadata": {"commit": "831877e8", "lr": "0.10", "flag": "true"},
        "device": "cuda",
        "requires": ["a100", "large"],
    }


ESTIMATE = {
    "object": "training_estimate",
    "model_type": "vae",
    "dataset": "digits",
    "preset": "fast",
    "hyperparameters": {"epochs": 3, "hidden": [8]},
    "init_from": None,
    "evaluation": "auto",
    "steps": 1200,
    "examples_per_step": 256,
    "seconds": 65.0,
    "basis": "trn_1 trained 4,726 examples a second on this machine.",
    "memory_bytes": 300_000_000,
    "queue_position": 2,
    "queue_position_is_exact": True,
    "warnings": [{"code": "no_worker", "message": "No worker.", "hint": "Start one.", "step": None}],
}


def test_dry_run_prints_the_costs_and_settings_and_submits_nothing() -> None:
    with serving(lambda _: Reply(200, ESTIMATE)) as server:
        done = mimeo("train", "vae", "--set", "epochs=3", "--dry-run", url=server.url)
        as_json = mimeo("train", "vae", "--dry-run", "--json", url=server.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(server.requests[0].body) == {
        "model_type": "vae",
        "hyperparameters": {"epochs": 3},
        "dry_run": True,
    }
    for words in ("1,200 of 256 examples", "about 1 min 05 s", "on this machine", "at most 300.0 MB", "position 2"):
        assert words in done.stdout
    assert "No worker. Start one." in done.stdout
    assert json.loads(as_json.stdout) == ESTIMATE


def test_jobs_are_searched_sorted_and_filtered_by_several_statuses() -> None:
    page = {"data": [training_job(status="queued")], "has_more": False}
    with serving(lambda request: Reply(body=page if "-jobs" in request.path else {"data": []})) as server:
        arguments = ("--search", "apple pie", "--sort", "name", "--status", "queued", "--status", "running")
        done = mimeo("jobs", *arguments, url=server.url)
    assert done.returncode == 0, done.stderr
    query = "status=queued&status=running&q=apple+pie&sort=name&limit=20"
    assert server.requests[0].path.replace("%20", "+") == f"/v1/training-jobs?{query}"


@pytest.mark.parametrize(("status", "expected"), [("succeeded", 0), ("failed", 1), ("cancelled", 1)])
def test_followed_job_decides_the_exit_status(tmp_path: Path, status: str, expected: int) -> None:
    def answer(request: Request) -> Reply:
        if request.path.split("?")[0].endswith(("/samples", "/events")):
            return Reply(body={"data": [], "has_more": False})
        return Reply(body=training_job(status=status, is_terminal=True))

    with serving(answer) as server:
        done = mimeo("follow", "trn_1", url=server.url, cwd=tmp_path)
    assert done.returncode == expected
    assert status in done.stderr


def test_interrupted_follow_leaves_the_job_running_and_prints_how_to_continue() -> None:
    def answer(request: Request) -> Reply:
        is_list = request.path.split("?")[0].endswith(("/samples", "/events"))
        return Reply(body={"data": [], "has_more": False} if is_list else training_job())

    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with serving(answer) as server:
        command = [sys.executable, "-m", "client.cli", "--url", server.url, "follow", "trn_1"]
        with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.send_signal(signal.SIGINT)
            _, remarks = process.communicate(timeout=10)
    assert process.returncode == 130
    assert remarks.splitlines() == [
        "trn_1 continues. Follow it again: mimeo follow trn_1   Stop it: mimeo cancel trn_1"
    ]
    assert {request.method for request in server.requests} == {"GET"}


@pytest.mark.parametrize(
    ("command", "status"),
    [("cancel", "cancelling"), ("pause", "pausing"), ("resume", "queued"), ("retry", "queued")],
)
def test_action_on_jobs_is_posted_and_their_new_status_printed(command: str, status: str) -> None:
    with serving(lambda _: Reply(202, training_job(status=status))) as server:
        done = mimeo(command, "trn_1", "trn_2", url=server.url)
    assert (done.returncode, done.stdout) == (0, f"trn_1  {status}\n" * 2)
    assert [(request.method, request.path) for request in server.requests] == [
        ("POST", f"/v1/training-jobs/trn_1/{command}"),
        ("POST", f"/v1/training-jobs/trn_2/{command}"),
    ]


def test_history_shows_its_last_lines_or_on_request_all_lines() -> None:
    lines = [
        {"id": n, "type": "retrying", "attempt": n, "message": f"Reason {n}.", "at": "2026-11-23T04:05:06Z", "data": {}}
        for n in range(1, 21)
    ]

    def answer(request: Request) -> Reply:
        if "/events" in request.path:
            return Reply(body={"data": lines, "has_more": False})
        if "/checkpoints" in request.path:
            return Reply(body={"data": [], "has_more": False})
        return Reply(body=training_job())

    with serving(answer) as server:
        last, whole = mimeo("show", "trn_1", url=server.url), mimeo("show", "trn_1", "--history", url=server.url)
    assert last.stdout.count("Reason") == 15
    assert last.stderr == "5 earlier: mimeo show trn_1 --history\n"
    assert whole.stdout.count("Reason") == 20
    assert "\t1\tretrying\tReason 1.\n" in whole.stdout


def test_delete_prints_each_job() -> None:
    with serving(lambda _: Reply(204)) as server:
        done = mimeo("delete", "trn_1", "gen_1", url=server.url)
        as_json = mimeo("delete", "trn_2", "--json", url=server.url)
    assert (done.returncode, done.stdout) == (0, "trn_1  deleted\ngen_1  deleted\n")
    assert json.loads(as_json.stdout) == {"id": "trn_2", "deleted": True}
    assert [(request.method, request.path) for request in server.requests][:2] == [
        ("DELETE", "/v1/training-jobs/trn_1"),
        ("DELETE", "/v1/generation-jobs/gen_1"),
    ]


def test_action_that_the_status_forbids_is_one_line() -> None:
    problem = {"code": "conflict", "detail": "The job is running; cancel it before you delete it.", "errors": []}
    with serving(lambda _: Reply(409, problem)) as server:
        done = mimeo("delete", "trn_1", url=server.url)
    assert (done.returncode, done.stderr) == (2, "mimeo: The job is running; cancel it before you delete it.\n")


@pytest.mark.parametrize("command", ["pause", "resume", "retry"])
def test_only_training_jobs_are_paused_resumed_and_retried(command: str) -> None:
    done = mimeo(command, "gen_1")
    assert done.returncode == 2
    assert done.stderr.startswith("mimeo: gen_1: only training jobs (trn_…) can be ")


def test_model_is_deleted_with_the_job_that_trained_it() -> None:
    with serving(lambda _: Reply(body={"id": "mdl_1", "training_job": "trn_1"})) as server:
        done = mimeo("delete", "mdl_1", url=server.url)
    assert (done.returncode, done.stdout) == (2, "")
    assert "mimeo delete trn_1" in done.stderr
    assert [request.method for request in server.requests] == ["GET"]


def test_imported_model_is_deleted_itself() -> None:
    def answer(request: Request) -> Reply:
        return Reply(body={"id": "mdl_1", "training_job": None}) if request.method == "GET" else Reply(204)

    with serving(answer) as server:
        done = mimeo("delete", "mdl_1", url=server.url)
    assert (done.returncode, done.stdout) == (0, "mdl_1  deleted\n")
    assert [(request.method, request.path) for request in server.requests][-1] == ("DELETE", "/v1/models/mdl_1")


def generation(**changes: Any) -> dict[str, Any]:
    return training_job(id="gen_1", object="generation_job", status="succeeded", is_terminal=True, **changes)


def test_generated_text_goes_to_standard_output() -> None:
    job = generation(output={"text": "To be", "texts": ["To be"]}, artifacts=[])
    with serving(lambda request: LSTM if request.method == "GET" else Reply(202, job)) as server:
        done = mimeo("generate", "mdl_1", "--prompt", "To", "--length", "3", "--temperature", "0", url=server.url)
    assert (done.returncode, done.stdout) == (0, "To be\n")
    assert json.loads(server.requests[-1].body)["sampling"] == {"prompt": "To", "length": 3, "temperature": 0.0}


def test_long_generated_text_comes_from_its_file() -> None:
    artifact = {"id": "art_1", "name": "text.txt", "media_type": "text/plain"}
    output = {"text": "To", "texts": ["To"], "n": 1, "truncated": True}

    def answer(request: Request) -> Reply:
        if request.method == "POST":
            return Reply(202, generation(output=output, artifacts=[artifact]))
        return Reply(body=b"To be, or not") if request.path == "/v1/artifacts/art_1/content" else LSTM

    with serving(answer) as server:
        done = mimeo("generate", "mdl_1", url=server.url)
    assert (done.returncode, done.stdout) == (0, "To be, or not\n")


def test_generated_image_goes_to_the_named_file(tmp_path: Path) -> None:
    artifact = {"id": "art_1", "name": "samples.png", "media_type": "image/png"}

    def answer(request: Request) -> Reply:
        if request.method == "POST":
            return Reply(202, generation(output={"width": 56}, artifacts=[artifact]))
        is_model = request.path == "/v1/models/mdl_1"
        return Reply(body={"id": "mdl_1", "model_type": "acgan"} if is_model else b"png bytes")

    with serving(answer) as server:
        done = mimeo("generate", "mdl_1", "--labels", "3,7", "--out", "digits.png", url=server.url, cwd=tmp_path)
        unnamed = mimeo("generate", "mdl_1", "--labels", "all", url=server.url, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "digits.png\n")
    assert (tmp_path / "digits.png").read_bytes() == b"png bytes"
    assert (unnamed.returncode, unnamed.stdout) == (0, "gen_1.png\n")
    (first, second) = (json.loads(request.body) for request in server.requests if request.method == "POST")
    assert (first["sampling"], second["sampling"]) == ({"labels": [3, 7]}, {"labels": "all"})


def test_options_of_generate_come_before_or_after_the_model_and_follow_its_type() -> None:
    def answer(request: Request) -> Reply:
        return LSTM if request.method == "GET" else Reply(202, generation(output={"text": "a", "texts": ["a"]}))

    with serving(answer) as server:
        done = mimeo("generate", "-n", "2", "--stop", "x", "mdl_1", "--stop", "y", url=server.url)
        wrong = mimeo("generate", "mdl_1", "--labels", "3", url=server.url)
        untyped = mimeo("generate", "mdl_1", "--length", "few", url=server.url)
        unknown = mimeo("generate", "mdl_1", "--colour", "red", url=server.url)
        repeated = mimeo("generate", "mdl_1", "--length", "3", "--set", "length=4", url=server.url)
        checkpoint = mimeo("generate", "ckp_1", "--labels", "3,7", url=server.url)
    assert {done.returncode, checkpoint.returncode} == {0}
    posted, of_checkpoint = (json.loads(request.body) for request in server.requests if request.method == "POST")
    assert posted["sampling"] == {"n": 2, "stop": ["x", "y"]}
    assert of_checkpoint["sampling"] == {"labels": [3, 7]}
    refused, _, own = wrong.stderr.partition("; it has ")
    assert refused.endswith("--labels: a model of type lstm has no such option")
    assert set(own.split()) >= {"--prompt,", "--length,"}
    assert untyped.stderr == "mimeo: --length few: expects a whole number\n"
    assert "--colour" in unknown.stderr
    assert "length is given twice" in repeated.stderr
    assert {each.returncode for each in (wrong, untyped, unknown, repeated)} == {2}


def test_hyperparameters_are_options_of_train_and_help_lists_those_of_the_named_type() -> None:
    with serving(lambda _: Reply(202, training_job())) as server:
        done = mimeo("train", "lstm", "--layers", "64,32", "--epochs", "3", "--set", "dropout=0", url=server.url)
        shown = mimeo("train", "vae", "--help", url=server.url)
    assert done.returncode == 0
    assert json.loads(server.requests[0].body)["hyperparameters"] == {"layers": [64, 32], "epochs": 3, "dropout": 0}
    assert "--latent-size" in shown.stdout
    assert "--layers" not in shown.stdout
    assert "--dataset" in mimeo("train", "--help").stdout  # without a server


def test_model_type_is_shown_with_its_options_and_the_meaning_of_its_figures() -> None:
    with serving(lambda _: Reply(404)) as server:
        listed = mimeo("model-types", url=server.url)
        shown = mimeo("model-types", "vae", url=server.url)
        unknown = mimeo("model-types", "vea", url=server.url)
    assert "vae\timages\tfashion-mnist\tVariational autoencoder" in listed.stdout.splitlines()
    lines = shown.stdout.splitlines()
    assert "--latent-size\tLatent dimensions." in lines
    assert "--points\tPoints along each side." in lines
    assert any(line.startswith("elbo\thigher\tEvidence lower bound") for line in lines)
    assert (unknown.returncode, ", ".join(sorted(REGISTRY)) in unknown.stderr) == (2, True)


def test_export_waits_and_saves_the_file_under_the_server_s_name(tmp_path: Path) -> None:
    replies = iter([
        Reply(503, {"code": "export_pending", "detail": "ask again"}, {"Retry-After": "5"}),
        Reply(body=b"a graph", headers={"Content-Disposition": "attachment; filename=../vae-digits-mdl_1.onnx"}),
    ])  # fmt: skip
    with serving(lambda _: next(replies)) as server:
        done = mimeo("export", "mdl_1", "--format", "onnx", "--part", "encoder", url=server.url, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "vae-digits-mdl_1.onnx\n")
    assert [file.name for file in tmp_path.iterdir()] == ["vae-digits-mdl_1.onnx"]
    assert (tmp_path / "vae-digits-mdl_1.onnx").read_bytes() == b"a graph"
    assert server.requests[0].path == "/v1/models/mdl_1/export?format=onnx&part=encoder"


def test_export_is_written_to_the_given_path(tmp_path: Path) -> None:
    with serving(lambda _: Reply(body=b"weights")) as server:
        named = mimeo("export", "mdl_1", "--out", "mine.safetensors", url=server.url, cwd=tmp_path)
        piped = mimeo("export", "mdl_1", "--out", "-", url=server.url, cwd=tmp_path)
        nowhere = mimeo("export", "mdl_1", "--out", "no/such/file", url=server.url, cwd=tmp_path)
    assert (named.returncode, (tmp_path / "mine.safetensors").read_bytes()) == (0, b"weights")
    assert (piped.returncode, piped.stdout) == (0, "weights")
    assert (nowhere.returncode, nowhere.stderr) == (2, "mimeo: --out no/such/file: no such file or directory\n")


@pytest.mark.parametrize(("status", "code", "expected"), [(404, "not_found", 2), (500, "export_failed", 1)])
def test_failed_export_leaves_no_file(tmp_path: Path, status: int, code: str, expected: int) -> None:
    with serving(lambda _: Reply(status, {"code": code, "detail": "it is gone"})) as server:
        done = mimeo("export", "mdl_1", url=server.url, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (expected, "mimeo: it is gone\n")
    assert list(tmp_path.iterdir()) == []


def test_list_on_a_pipe_is_tab_separated_with_a_header() -> None:
    with serving(lambda _: Reply(body={"data": [training_job()], "has_more": False})) as server:
        done = mimeo("jobs", "--status", "running", url=server.url)
    header, row = done.stdout.splitlines()
    assert header.split("\t")[:3] == ["id", "model type", "dataset"]
    assert row.split("\t")[:3] == ["trn_1", "vae", "digits"]
    assert "status=running" in server.requests[0].path


def test_client_imports_nothing_of_the_server() -> None:
    program = (
        "import sys, client.cli, client.demo\n"
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'api', 'shared', 'worker', 'stack', 'torch'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
