"""Health checks of the ACGAN: for a generator with few distinct images, and a discriminator that always wins."""

from collections.abc import Mapping
from statistics import fmean

from worker.models.health import HealthCheck, Healthy, Measurements, Unhealthy

FIRST_STEP = 300  # before it a healthy generator may give one image only, and any discriminator wins
COLLAPSED, DIVERSE = 0.3, 0.5  # diversity, as a share of the real images'
CLASS_COLLAPSED, CLASS_DIVERSE = 0.2, 0.35  # the same of the least diverse class, which varies more
EVALUATIONS = 2  # in a row

WATCHED_POINTS = 100  # of the training curves
SATURATED, CONTESTED = 0.99, 0.95  # share of images whose realness has the right sign
CLIMB = 0.2  # of the generator's loss, from the first half of the watched points to the second


class ModeCollapse(HealthCheck):
    """The generator repeats a few images, of all classes or of one.

    images: the name of the images that `diversity` compares. Without `lowest_diversity` only `diversity` is checked.
    """

    code = "mode_collapse"
    images = "Images of a class"
    hint = "Use a smaller learning_rate or a lower class_weight, or continue an earlier checkpoint with init_from."

    def check(self, measurements: Measurements) -> Unhealthy | Healthy | None:
        """Check an evaluation or the quality."""
        diversity = measurements.values.get("diversity")
        lowest = measurements.values.get("lowest_diversity", diversity)
        if measurements.stage == "training" or diversity is None or lowest is None or measurements.step < FIRST_STEP:
            return None
        if diversity >= COLLAPSED and lowest >= CLASS_COLLAPSED:
            self.memory["in_a_row"] = 0
            return Healthy() if diversity > DIVERSE and lowest > CLASS_DIVERSE else None
        self.memory["in_a_row"] = self.memory.get("in_a_row", 0) + 1
        return self._unhealthy(measurements.values) if self.memory["in_a_row"] >= EVALUATIONS else None

    def _unhealthy(self, values: Mapping[str, float]) -> Unhealthy:
        data = {name: values[name] for name in ("diversity", "lowest_diversity") if name in values}
        diversity, lowest = values["diversity"], min(data.values())
        if diversity < COLLAPSED:
            message = f"{self.images} differ only {diversity:.0%} as much as real ones: the generator has collapsed"
            return Unhealthy(message=f"{message} to a few images.", hint=self.hint, data=data)
        message = f"Images of one class differ only {lowest:.0%} as much as real ones: it has collapsed"
        return Unhealthy(message=f"{message} to a few images.", hint=self.hint, data=data)


class DiscriminatorWon(HealthCheck):
    """The discriminator classifies nearly all images correctly and the generator's loss rises: it no longer learns."""

    code = "discriminator_won"

    def check(self, measurements: Measurements) -> Unhealthy | Healthy | None:
        """Check a point of the training curves."""
        if measurements.stage != "training" or not {"realness_accuracy", "g_loss"} <= measurements.values.keys():
            return None
        point = [measurements.values["realness_accuracy"], measurements.values["g_loss"]]
        points = self.memory["points"] = [*self.memory.get("points", []), point][-WATCHED_POINTS:]
        if len(points) < WATCHED_POINTS or measurements.step < FIRST_STEP:
            return None
        accuracy = fmean(accuracy for accuracy, _ in points)
        half = WATCHED_POINTS // 2
        before, now = (fmean(loss for _, loss in part) for part in (points[:half], points[half:]))
        if accuracy >= SATURATED and now - before > CLIMB:
            return Unhealthy(
                message=f"The discriminator distinguishes {accuracy:.1%} of real and generated images, and g_loss has"
                f" risen from {before:.3g} to {now:.3g}: the generator no longer improves.",
                hint="Use a smaller learning_rate, more dropout, or a soft_label further below 1 (book).",
                data={"realness_accuracy": accuracy, "g_loss": now, "g_loss_before": before},
            )
        return Healthy() if accuracy < CONTESTED else None
