"""A short text on a real stack while a million characters are being written."""

import httpx
import pytest

from benchmarks import turns
from tests.acceptance.stack import Stack
from tests.waiting import wait_until

pytestmark = pytest.mark.slow


def test_short_text_does_not_wait_for_a_million_characters_and_a_cancel_keeps_the_worker(stack: Stack) -> None:
    with httpx.Client(base_url=stack.url, timeout=120) as client:
        model = turns.train(client)
        turns.submit(client, model, turns.SHORT, 60)
        long = f"/v1/generation-jobs/{turns.submit(client, model, turns.MILLION)['id']}"
        wait_until(lambda: client.get(long).json()["status"] == "running")
        worker = turns.generation_worker(client)

        short = turns.submit(client, model, turns.SHORT, 60)

        assert (short["status"], len(short["output"]["text"])) == ("succeeded", 5)
        assert client.get(long).json()["status"] == "running"
        client.post(f"{long}/cancel").raise_for_status()
        wait_until(lambda: client.get(long).json()["status"] == "cancelled")
        assert turns.submit(client, model, turns.SHORT, 60)["status"] == "succeeded"
        assert turns.generation_worker(client) == worker
