"""Whether the language model writes or recites: the longest passage that its text shares with the training text."""

import numpy as np
from torch import Tensor

from shared.model_types.lstm import LstmSampling
from worker.models.evaluation.memorization import MOST_CHARACTERS, longest_overlap, spread
from worker.models.lstm.network import LstmNetwork
from worker.models.lstm.sampling import CharacterSampler

PASSAGES = 20
CHARACTERS = 500  # of each
TEMPERATURE = 0.5  # cool enough that what was learnt by heart comes out


def overlaps(model: LstmNetwork, training_N: Tensor, held_out_N: Tensor) -> dict[str, float]:
    """Longest passages, in characters, that other texts have letter by letter in common with the training text.

    longest_overlap: of 20 texts of 500 characters that the model writes, from one seed. held_out_overlap: of as much
    held-out text, which nobody can have copied: the yardstick.
    """
    training, held_out = (_text(model.vocabulary, ids_N) for ids_N in (training_N, held_out_N))
    sampling = LstmSampling(n=PASSAGES, length=CHARACTERS, temperature=TEMPERATURE)
    written = CharacterSampler(model).texts(model.seed_text, sampling, seed=0)
    return {
        "longest_overlap": float(longest_overlap(written, training)),
        "held_out_overlap": float(longest_overlap(spread(held_out, count=PASSAGES, length=CHARACTERS), training)),
    }


def _text(vocabulary: str, ids_N: Tensor) -> str:
    """The characters with these ids; NumPy keeps each as one UTF-32 code, which is many times less than an object."""
    characters = np.array(list(vocabulary))[ids_N[:MOST_CHARACTERS].cpu().long().numpy()]
    text: str = characters.tobytes().decode("utf-32")
    return text
