"""What goes wrong with a language model: it learns its text by heart instead of what texts like it have in common."""

import math

from worker.models.health import Figures, HealthCheck, Ill, Well

WORSE, AS_GOOD = 0.05, 0.02  # nats per character above the best held-out loss so far
EVALUATIONS = 3  # in a row
VERBATIM = 100  # characters


class Memorising(HealthCheck):
    """The held-out loss has turned and rises while the training loss goes on falling."""

    code = "memorising"

    def look(self, figures: Figures) -> Ill | Well | None:
        """See the class."""
        memory = self.memory
        if figures.stage == "training" and "loss" in figures.values:
            total, count = memory.get("training", (0.0, 0))
            memory["training"] = [total + figures.values["loss"], count + 1]
        if figures.stage != "evaluation" or "bits_per_char" not in figures.values:
            return None
        held_out = figures.values["bits_per_char"] * math.log(2)
        total, count = memory.pop("training", (0.0, 0))
        training = total / count if count else memory.get("last", held_out)
        memory["last"] = training
        if held_out < memory.get("best", math.inf):
            memory |= {"best": held_out, "training_then": training, "worse": 0, "at": figures.step}
            return Well()
        if held_out > memory["best"] + WORSE and training < memory["training_then"]:
            memory["worse"] += 1
            return self._ill(held_out, training) if memory["worse"] >= EVALUATIONS else None
        memory["worse"] = 0
        return Well() if held_out < memory["best"] + AS_GOOD else None

    def _ill(self, held_out: float, training: float) -> Ill:
        best, then = self.memory["best"], self.memory["training_then"]
        return Ill(
            message=f"The loss on held-out text has risen from {best:.3f} (step {self.memory['at']:,}) to"
            f" {held_out:.3f} nats per character while that on the training text fell from {then:.3f} to"
            f" {training:.3f}: the model learns the text by heart.",
            hint="Use fewer epochs, smaller layers, more dropout, or a longer text; the published weights are the best"
            " checkpoint's.",
            data={"held_out": held_out, "best": best, "training": training, "gap": held_out - training},
        )


class VerbatimCopy(HealthCheck):
    """Samples of the finished model repeat long passages of the training text letter by letter."""

    code = "verbatim_copy"

    def look(self, figures: Figures) -> Ill | Well | None:
        """See the class."""
        longest = figures.values.get("longest_overlap")
        if figures.stage != "quality" or longest is None:
            return None
        if longest < VERBATIM:
            return Well()
        return Ill(
            message=f"A sample repeats {longest:.0f} characters of the training text letter by letter.",
            hint="Use fewer epochs, smaller layers, more dropout, or a longer text.",
            data={"longest_overlap": longest},
        )
