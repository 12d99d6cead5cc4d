"""Mutated messages of Redis, and hostile names in the output of the command line."""

import json
import random
import unicodedata

import pytest

from client.terminal import printable, printable_json
from shared.job_status import JobKind
from tests.bad_messages import valid_envelope
from tests.fuzz import MESSAGES, SEED, TEXTS
from tests.fuzz.mutations import encoded, mutated_bytes, mutated_json
from tests.terminal import HOSTILE
from worker.notification_messages import InvalidMessage, checked

FIELDS = {"body", "content-type", "content-encoding", "headers", "properties"}


def test_mutated_messages_are_dropped_or_reduced_to_a_notification() -> None:
    chance = random.Random(SEED)
    envelope = valid_envelope(JobKind.TRAINING)
    accepted = 0
    for _ in range(MESSAGES):
        message = encoded(envelope)
        message = encoded(mutated_json(envelope, chance)) if chance.random() < 0.5 else mutated_bytes(message, chance)
        try:
            reduced = json.loads(checked(message, JobKind.TRAINING))
        except InvalidMessage:
            continue
        accepted += 1
        assert reduced.keys() == FIELDS
        assert reduced["headers"].keys() == {"task", "id"}
        assert reduced["headers"]["task"] == "mimeo.training"
    print(f"\n{MESSAGES:,} mutated messages, seed {SEED}: {MESSAGES - accepted:,} dropped, {accepted:,} reduced")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1", "cp437", "koi8-r", "shift-jis"])
def test_hostile_names_control_no_terminal(encoding: str) -> None:
    chance = random.Random(SEED)
    pool = HOSTILE + "\u200d\ud800\U000e0041abc日本א\u0301" + "".join(map(chr, range(0xA0)))
    for _ in range(TEXTS // 6):
        name = "".join(chance.choices(pool, k=chance.randint(0, 40)))
        for shown in (printable(name), printable(name).encode(encoding, "replace").decode(encoding)):
            assert [each for each in shown if unicodedata.category(each) in {"Cc", "Cs", "Zl", "Zp"}] == []
            assert printable(shown) == shown
        assert len(printable(name, keeps_lines=True).splitlines()) <= name.count("\n") + 1
        assert json.loads(printable_json(json.dumps(name, ensure_ascii=False))) == name
