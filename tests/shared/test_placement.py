"""The placement of a job as a string, and which workers meet it."""

import pytest
from pydantic import ValidationError

from shared.placement import RequestedDevice, canonical, checked_label, is_met
from shared.settings import Settings, reason


@pytest.mark.parametrize(
    ("device", "labels", "expected"),
    [
        ("auto", [], "any"),
        ("cpu", [], "any"),
        ("cuda", [], "cuda"),
        ("auto", ["a100"], "any,a100"),
        ("cuda", ["large", "a100", "large"], "cuda,a100,large"),
    ],
)
def test_placement_is_canonical(device: RequestedDevice, labels: list[str], expected: str) -> None:
    assert canonical(device, labels) == expected


@pytest.mark.parametrize(
    ("placement", "device", "labels", "expected"),
    [
        ("any", "cpu", [], True),
        ("cuda", "cpu", [], False),
        ("cuda", "cuda", ["a100"], True),
        ("any,a100", "cpu", ["a100", "large"], True),
        ("cuda,a100,large", "cuda", ["a100"], False),
        ("any,cuda", "cuda", [], False),
    ],
    ids=["any", "no GPU", "a GPU", "one of its labels", "a label is missing", "a label of that name is no device"],
)
def test_placement_is_met(placement: str, device: str, labels: list[str], expected: bool) -> None:
    assert is_met(placement, device, labels) is expected


@pytest.mark.parametrize("label", ["a100", "0", "eu-west.1_b", "x" * 63])
def test_valid_label(label: str) -> None:
    assert checked_label(label) == label


@pytest.mark.parametrize("label", ["", "A100", "-a", "a,b", "a b", "x" * 64, "a\n"])
def test_invalid_label(label: str) -> None:
    with pytest.raises(ValueError, match="is not a label"):
        checked_label(label)


def test_labels_of_a_worker_are_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMEO_WORKER_LABELS", "a100, large")
    assert Settings().worker_labels == ("a100", "large")
    monkeypatch.setenv("MIMEO_WORKER_LABELS", "a100,Large")
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert reason(caught.value).startswith("MIMEO_WORKER_LABELS='Large' is not valid: 'Large' is not a label")
