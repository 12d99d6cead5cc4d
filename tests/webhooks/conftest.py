"""A stack that signs webhooks and may reach loopback."""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from shared.db.session import SessionFactory
from shared.settings import Settings
from tests.waiting import wait_until
from tests.webhooks.receiver import Receiver, receiver
from worker.webhooks import WebhookDispatcher

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return Settings(
        **settings.model_dump(
            exclude={"webhook_secret", "webhook_allowed_hosts", "webhook_backoff_s", "webhook_timeout_s"}
        ),
        webhook_secret=SecretStr(SECRET),
        webhook_allowed_hosts=("127.0.0.0/8",),
        webhook_backoff_s=0.01,
        webhook_timeout_s=1.0,
    )


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


@pytest.fixture
def dispatcher(settings: Settings, database: SessionFactory) -> Iterator[WebhookDispatcher]:
    made = WebhookDispatcher(settings, database)
    yield made
    wait_until(lambda: made._sending.total() == 0)
