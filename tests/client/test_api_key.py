"""The API key of the client and of the command line."""

from pathlib import Path

import pytest

from client.errors import ApiError, BadInput
from client.http import Client
from shared.db.session import SessionFactory
from shared.settings import Settings
from tests.api.live import serve
from tests.api.tenants import new_key


@pytest.fixture(params=["sqlite"])
def database_kind(request: pytest.FixtureRequest) -> str:
    """The client does not depend on the database."""
    return str(request.param)


@pytest.mark.slow
def test_key_comes_from_the_environment_or_a_file(
    settings: Settings, database: SessionFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = new_key(database, "ada")
    with serve(settings.model_copy(update={"auth": "required"})) as server:
        for name in ("MIMEO_API_KEY", "MIMEO_API_KEY_FILE"):
            monkeypatch.delenv(name, raising=False)
        with Client(server.url) as client, pytest.raises(ApiError, match="MIMEO_API_KEY"):
            client.training_jobs()
        (tmp_path / "key").write_text(f"{key}\n")
        monkeypatch.setenv("MIMEO_API_KEY_FILE", str(tmp_path / "key"))
        with Client(server.url) as client:
            assert client.training_jobs()["data"] == []
        monkeypatch.setenv("MIMEO_API_KEY", key)
        with Client(server.url) as client:
            job = client.train({"model_type": "vae", "dataset": "digits"})
            with client.stream(f"/v1/training-jobs/{job['id']}/stream") as events:
                assert next(events).name == "job"


def test_unreadable_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMEO_API_KEY_FILE", str(tmp_path / "absent"))
    with pytest.raises(BadInput, match="absent cannot be read"):
        Client("http://127.0.0.1:1")


@pytest.mark.parametrize("key", ["mimeo_a mimeo_b", "mimeo_a\nmimeo_b\n", "schlüssel", "mimeo_\x00"])
def test_malformed_key_is_refused_before_a_request(key: str) -> None:
    with pytest.raises(BadInput, match="a key is one word"):
        Client("http://127.0.0.1:1", api_key=key)
