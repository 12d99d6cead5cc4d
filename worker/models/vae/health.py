"""What goes wrong with a VAE: its latents say nothing about the image, and all images come out as their average."""

from worker.models.health import HealthCheck, Healthy, Measurements, Unhealthy

SILENT_NATS, SPEAKING_NATS = 0.05, 0.2  # KL of an image's latents to the prior, over all dimensions
FIRST_STEP = 100  # before it even a healthy encoder may not have begun to speak


class PosteriorCollapse(HealthCheck):
    """The encoder tells the decoder nothing, because the KL term punishes whatever it says.

    kl_weight: 0 has no KL term to blame, and is not watched.
    """

    code = "posterior_collapse"

    def __init__(self, kl_weight: float) -> None:
        super().__init__()
        self._kl_weight = kl_weight

    def check(self, measurements: Measurements) -> Unhealthy | Healthy | None:
        """See the class."""
        kl = measurements.values.get("kl")
        if measurements.stage == "training" or kl is None or self._kl_weight == 0 or measurements.step < FIRST_STEP:
            return None
        units = measurements.values.get("active_units")
        if kl < SILENT_NATS or units == 0:
            active = "" if units is None else f" and {units:.0f} latent dimensions are active"
            return Unhealthy(
                message=f"The latents carry {kl:.2g} nats about an image{active}: the decoder ignores them and draws"
                " the average image.",
                hint=f"Lower kl_weight (it is {self._kl_weight:g}; 1 is the usual one).",
                data={"kl": kl, "kl_weight": self._kl_weight} | ({} if units is None else {"active_units": units}),
            )
        return Healthy() if kl > SPEAKING_NATS else None
