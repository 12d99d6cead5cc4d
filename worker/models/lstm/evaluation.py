"""Loss of the language model on held-out text. Shapes: T time, B streams or windows, N characters."""

import math
import sys
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from worker.models.lstm.batches import windows_at
from worker.models.lstm.network import LstmNetwork, State

WARM_UP_CHARACTERS = 64  # read before measuring, so that every character has context
EVALUATION_STREAMS = 64
CHEAP_CHARACTERS = 32_768  # of the held-out text that every checkpoint is measured on
CHEAP_WINDOWS = 2048  # of them, where each character costs the reading of a whole window
MAX_WINDOWS = 8192  # windows measured at the end at most, evenly spread
WINDOWS_AT_ONCE = 512


class HeldOutText:
    """The contiguous end of a text, read the way the model was trained to.

    ids_N: the whole text, of which the part from `split` on is held out. window: characters of one, for a model that
    was trained on windows; None for one that reads streams.
    """

    def __init__(self, ids_N: Tensor, split: int, window: int | None) -> None:
        self._window = window
        self._before = min(WARM_UP_CHARACTERS, split) if window is None else window
        self._ids_N = ids_N[split - self._before :]

    @property
    def ids(self) -> Tensor:
        """The held-out characters alone, [N - split]."""
        return self._ids_N[self._before :]

    def cheap_nats(self, model: LstmNetwork) -> float:
        """Mean nats per character of the text's beginning: the evaluation of each checkpoint."""
        return self._nats(model, CHEAP_CHARACTERS, CHEAP_WINDOWS)

    def nats(self, model: LstmNetwork) -> float:
        """Mean nats per character of the whole text."""
        return self._nats(model, len(self._ids_N), MAX_WINDOWS)

    def _nats(self, model: LstmNetwork, characters: int, windows: int) -> float:
        was_training = model.training
        model.eval()
        ids_N = self._ids_N[: self._before + characters]
        if self._window is None:
            nats = _stream_nats(model, ids_N, self._before)
        else:
            places = len(ids_N) - self._window
            starts_N = torch.arange(0, places, max(1, places // windows))
            nats = window_nats(model, ids_N, starts_N.split(WINDOWS_AT_ONCE))
        model.train(was_training)
        return nats


def frequency_nats(training_ids_N: Tensor, held_out_ids_N: Tensor, vocabulary: int) -> float:
    """Mean nats of held-out characters under their frequencies in the training text, each counted once more."""
    counts_V = torch.bincount(training_ids_N.long(), minlength=vocabulary).double() + 1
    log_shares_V = (counts_V / counts_V.sum()).log()
    return -float(log_shares_V[held_out_ids_N.long()].mean())


def perplexity(nats: float) -> float:
    """exp(nats), or infinity where that is no float: the end of the run then leaves it out with a warning."""
    return math.exp(nats) if nats < math.log(sys.float_info.max) else math.inf


@torch.inference_mode()
def _stream_nats(model: LstmNetwork, ids_N: Tensor, warm_up: int) -> float:
    """Each of the streams is read in one go, from a little before its first measured character."""
    measured = len(ids_N) - warm_up - 1
    streams = max(1, min(EVALUATION_STREAMS, measured // WARM_UP_CHARACTERS))
    length = measured // streams
    starts_B = torch.arange(streams, device=ids_N.device) * length
    total = torch.zeros((), device=ids_N.device)
    state: State | None = None
    for start in range(0, warm_up + length, 256):
        size = min(256, warm_up + length - start)
        positions = start + torch.arange(size + 1, device=ids_N.device)[:, None]
        characters_TB = ids_N[positions + starts_B].long()
        with model.autocast():
            logits_TBV, state = model(characters_TB[:-1], state)
        counted = slice(max(0, warm_up - start), None)
        targets = characters_TB[1:][counted].flatten()
        total += cross_entropy(logits_TBV[counted].flatten(0, 1).float(), targets, reduction="sum")
    return float(total) / (streams * length)


@torch.inference_mode()
def window_nats(model: LstmNetwork, ids_N: Tensor, starts: Iterable[Tensor]) -> float:
    """Mean nats of the character after each of the windows that begin at these places, [B] each."""
    total = torch.zeros((), device=ids_N.device)
    windows = 0
    for starts_B in starts:
        batch = windows_at(ids_N, starts_B, model.hyperparameters.window)
        with model.autocast():
            logits_BV, _ = model(batch.inputs, last=True)
        total += cross_entropy(logits_BV.float(), batch.targets, reduction="sum")
        windows += len(starts_B)
    return float(total) / windows
