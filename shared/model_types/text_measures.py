"""Training metrics and quality figures of a model of text."""

from dataclasses import replace

from shared.model_types.base import EXAMPLES_PER_S, LEARNING_RATE, Measure

VAL_LOSS = Measure(
    meaning="Cross-entropy of held-out text, in nats per character.",
    better="lower",
    is_headline=True,
    bands=(1.46, 1.94),
)
BITS_PER_CHAR = Measure(
    meaning="Bits per character of the held-out text.", better="lower", is_headline=True, bands=(2.1, 2.8)
)

METRICS = {
    "loss": Measure(meaning="Training loss, in nats per character.", better="lower", is_headline=True),
    "val_loss": VAL_LOSS,
    "bits_per_char": replace(BITS_PER_CHAR, is_headline=False),
    "learning_rate": LEARNING_RATE,
    "examples_per_s": EXAMPLES_PER_S,
}

QUALITY = {
    "val_loss": replace(VAL_LOSS, is_headline=False),
    "bits_per_char": BITS_PER_CHAR,
    "perplexity": Measure(
        meaning="Number of equally likely characters with the uncertainty of the held-out text.",
        better="lower",
        bands=(4.3, 7.0),
    ),
    "longest_overlap": Measure(
        meaning="Characters of the longest passage that 20 written texts of 500 share with the training text.",
        is_headline=True,
    ),
    "held_out_overlap": Measure(
        meaning="The same for as much held-out text; the reference value of `longest_overlap`."
    ),
}
