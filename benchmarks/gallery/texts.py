"""What an LSTM writes at several temperatures, from its first epoch to its last."""

import math
import re
from pathlib import Path

from pydantic import ValidationError

from benchmarks.gallery.facts import about
from benchmarks.gallery.page import Section
from benchmarks.gallery.runs import FinishedRun, UnshowableRun
from shared.trainer_protocol import EVENT, Metrics
from worker.models.lstm.model import SAMPLE_TEMPERATURES, Lstm
from worker.trainer import samples

EPOCHS = 5  # shown at most
NAMES = [f"t{temperature:g}" for temperature in SAMPLE_TEMPERATURES]  # of an epoch's samples


def by_epoch(run: FinishedRun) -> Section:
    """The samples that the trainer wrote after a few of the epochs. Raises UnshowableRun where there are none."""
    assert isinstance(run.model, Lstm), "the section is the LSTM's"
    written = _samples(run.folder)
    if not written:
        message = f"{run.folder / samples.FOLDER} has no epoch with a text at each temperature"
        raise UnshowableRun(f"{message}; show a run whose folder is as the trainer left it.")
    bits = _bits_per_character(run.folder)
    parts = [
        about(run),
        "Every text goes on from this passage, which the network was not trained on:",
        fenced(run.model.seed_text),
    ]
    for epoch in spread(sorted(written), EPOCHS):
        figure = f": {bits[epoch]:.2f} bits per character" if epoch in bits else ""
        parts.append(f"### Epoch {epoch}{figure}")
        for temperature, name in zip(SAMPLE_TEMPERATURES, NAMES, strict=True):
            parts += [f"**T = {temperature:g}**", fenced(written[epoch][name])]
    return Section(body="\n\n".join(parts))


def spread(epochs: list[int], count: int) -> list[int]:
    """At most `count` of these, the first and the last among them, the others at about equal ratios.

    Ratios, since a text changes as much from epoch 1 to 2 as from 10 to 20.
    """
    first, last = math.log(epochs[0]), math.log(epochs[-1])
    wanted = [first + (last - first) * place / (count - 1) for place in range(count)]
    return sorted({min(epochs, key=lambda epoch: abs(math.log(epoch) - place)) for place in wanted})


def fenced(text: str) -> str:
    """A block of Markdown that shows the text as it is, whatever backticks it has."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def _samples(folder: Path) -> dict[int, dict[str, str]]:
    """Texts by the sample's name, by epoch; epochs that lack one are left out."""
    found: dict[int, dict[str, str]] = {}
    for path in (folder / samples.FOLDER).glob("epoch-*-t*.txt"):
        _, epoch, name = path.stem.split("-", 2)
        found.setdefault(int(epoch), {})[name] = path.read_text(encoding="utf-8")
    return {epoch: texts for epoch, texts in found.items() if texts.keys() >= set(NAMES)}


def _bits_per_character(folder: Path) -> dict[int, float]:
    """The figure of the evaluation after each epoch that had one."""
    found: dict[int, float] = {}
    for line in (folder / "events.jsonl").read_text(encoding="utf-8").splitlines():
        if not line.startswith('{"type":"metrics"') or '"bits_per_char"' not in line:
            continue
        try:
            event = EVENT.validate_json(line)
        except ValidationError:  # a run that was killed may have left half a line
            continue
        assert isinstance(event, Metrics)
        found[event.epoch] = event.values["bits_per_char"]
    return found
