"""Health checks of the language model, for the memorisation of its training text."""

import math

from worker.models.health import HealthCheck, Healthy, Measurements, Unhealthy

WORSE, AS_GOOD = 0.05, 0.02  # nats per character above the best held-out loss so far
EVALUATIONS = 3  # in a row
VERBATIM = 100  # characters


class Memorizing(HealthCheck):
    """The held-out loss rises while the training loss still falls."""

    code = "memorising"

    def check(self, measurements: Measurements) -> Unhealthy | Healthy | None:
        """Check an evaluation against the mean training loss since the previous one."""
        memory = self.memory
        if measurements.stage == "training" and "loss" in measurements.values:
            total, count = memory.get("training", (0.0, 0))
            memory["training"] = [total + measurements.values["loss"], count + 1]
        if measurements.stage != "evaluation" or "bits_per_char" not in measurements.values:
            return None
        held_out = measurements.values["bits_per_char"] * math.log(2)
        total, count = memory.pop("training", (0.0, 0))
        training = total / count if count else memory.get("last", held_out)
        memory["last"] = training
        if held_out < memory.get("best", math.inf):
            memory |= {"best": held_out, "training_then": training, "worse": 0, "at": measurements.step}
            return Healthy()
        if held_out > memory["best"] + WORSE and training < memory["training_then"]:
            memory["worse"] += 1
            return self._unhealthy(held_out, training) if memory["worse"] >= EVALUATIONS else None
        memory["worse"] = 0
        return Healthy() if held_out < memory["best"] + AS_GOOD else None

    def _unhealthy(self, held_out: float, training: float) -> Unhealthy:
        best, then = self.memory["best"], self.memory["training_then"]
        return Unhealthy(
            message=f"The loss on held-out text has risen from {best:.3f} (step {self.memory['at']:,}) to"
            f" {held_out:.3f} nats per character while that on the training text fell from {then:.3f} to"
            f" {training:.3f}: the model memorises the text.",
            hint="Use fewer epochs, smaller layers, more dropout, or a longer text; the published weights are the best"
            " checkpoint's.",
            data={"held_out": held_out, "best": best, "training": training, "gap": held_out - training},
        )


class VerbatimCopy(HealthCheck):
    """Samples of the final model repeat long passages of the training text exactly."""

    code = "verbatim_copy"

    def check(self, measurements: Measurements) -> Unhealthy | Healthy | None:
        """Check the quality."""
        longest = measurements.values.get("longest_overlap")
        if measurements.stage != "quality" or longest is None:
            return None
        if longest < VERBATIM:
            return Healthy()
        return Unhealthy(
            message=f"A sample repeats {longest:.0f} characters of the training text exactly.",
            hint="Use fewer epochs, smaller layers, more dropout, or a longer text.",
            data={"longest_overlap": longest},
        )
