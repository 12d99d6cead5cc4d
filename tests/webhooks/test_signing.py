"""Signatures, by the published library and its test vector."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from shared.errors import SetupError
from shared.settings import Settings
from shared.webhooks import signing
from tests.webhooks.conftest import SECRET

OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


def test_signature_of_the_published_example() -> None:
    headers = signing.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', signing.keys(SECRET))
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_published_library_accepts_a_message_of_either_key_of_a_rotation() -> None:
    body = '{"type":"training_job.succeeded","name":"é"}'
    now = round(datetime.now(UTC).timestamp())
    headers = signing.headers("whd_1", now, body.encode(), signing.keys(f"{SECRET} {OTHER}"))

    for secret in (SECRET, OTHER):
        assert Webhook(secret).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "A" * 32).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body.replace("succeeded", "failed"), headers)


@pytest.mark.parametrize(
    "secret", ["", "qwertz", "whsec_", "whsec_c2hvcnQ=", "whsec_%%%%", SECRET.removeprefix("whsec_")]
)
def test_bad_secret_stops_the_start_without_being_shown(secret: str) -> None:
    with pytest.raises(SetupError) as raised:
        Settings(webhook_secret=SecretStr(secret))
    assert "MIMEO_WEBHOOK_SECRET" in raised.value.detail
    assert not secret or secret not in raised.value.detail.replace("whsec_ and", "")


def test_secret_comes_from_a_file_or_from_the_variable(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    assert Settings(webhook_secret_file=file).webhook_keys == tuple(signing.keys(SECRET))
    assert Settings().webhook_keys == ()
    with pytest.raises(SetupError, match="both"):
        Settings(webhook_secret_file=file, webhook_secret=SecretStr(SECRET))
