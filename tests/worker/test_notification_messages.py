"""The check of every message before Celery sees it."""

import json

import pytest
from pydantic import SecretStr

from shared.broker import CeleryBroker
from shared.job_status import JobKind, Priority
from shared.settings import Settings
from tests.bad_messages import BAD_MESSAGES, valid_envelope, with_header
from tests.servers import Valkey
from worker.notification_messages import InvalidMessage, checked


def test_notification_of_the_broker_is_valid(valkey: Valkey, settings: Settings) -> None:
    broker = CeleryBroker(settings.model_copy(update={"redis_url": SecretStr(valkey.url)}))
    assert broker.send(JobKind.TRAINING, "trn_1", Priority.HIGH)
    with valkey.client() as client:
        [message] = client.lrange("mimeo:training", 0, -1)

    envelope = json.loads(checked(message, JobKind.TRAINING))

    assert envelope["body"] == json.loads(message)["body"]


@pytest.mark.parametrize("name", BAD_MESSAGES)
def test_bad_message_is_refused_with_a_reason(name: str) -> None:
    message = BAD_MESSAGES[name](valid_envelope(JobKind.TRAINING))

    with pytest.raises(InvalidMessage) as refused:
        checked(message, JobKind.TRAINING)

    assert 0 < len(str(refused.value)) < 300
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("header", ["eta", "expires", "timelimit", "shadow", "group", "stamps"])
def test_fields_that_delay_or_rename_a_task_are_removed(header: str) -> None:
    message = with_header(header, "2100-01-01T00:00:00")(valid_envelope(JobKind.TRAINING))

    assert json.loads(checked(message, JobKind.TRAINING))["headers"].keys() == {"task", "id"}
