"""Memorisation: the longest passage that generated text has in common with the training text."""

import numpy as np
from torch import Tensor

from shared.model_types.lstm import LstmSampling
from worker.models.evaluation.memorization import MOST_CHARACTERS, longest_overlap, spread
from worker.models.lstm.network import LstmNetwork
from worker.models.lstm.sampling import CharacterSampler

PASSAGES = 20
CHARACTERS = 500  # of each
TEMPERATURE = 0.5  # low enough for memorised passages to appear


def overlaps(model: LstmNetwork, training_N: Tensor, held_out_N: Tensor) -> dict[str, float]:
    """Lengths of the longest passages, in characters, that other texts have in common with the training text.

    longest_overlap: of 20 generated texts of 500 characters, from one seed. held_out_overlap: of as much held-out
    text, for comparison, since it contains no copies by the model.
    """
    training, held_out = (_text(model.vocabulary, ids_N) for ids_N in (training_N, held_out_N))
    sampling = LstmSampling(n=PASSAGES, length=CHARACTERS, temperature=TEMPERATURE)
    written = CharacterSampler(model).texts(model.seed_text, sampling, seed=0)
    return {
        "longest_overlap": float(longest_overlap(written, training)),
        "held_out_overlap": float(longest_overlap(spread(held_out, count=PASSAGES, length=CHARACTERS), training)),
    }


def _text(vocabulary: str, ids_N: Tensor) -> str:
    """The characters with these ids. NumPy's UTF-32 codes need much less memory than a list of strings."""
    characters = np.array(list(vocabulary))[ids_N[:MOST_CHARACTERS].cpu().long().numpy()]
    text: str = characters.tobytes().decode("utf-32")
    return text
