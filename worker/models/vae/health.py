"""Health check of the VAE: for latents without information, with which all images decode to their average."""

from worker.models.health import HealthCheck, Healthy, Measurements, Unhealthy

COLLAPSED_NATS, INFORMATIVE_NATS = 0.05, 0.2  # KL of an image's latents to the prior, over all dimensions
FIRST_STEP = 100  # before it the KL of a healthy encoder may be as small


class PosteriorCollapse(HealthCheck):
    """The latents carry no information, because the KL term outweighs the reconstruction (posterior collapse).

    kl_weight: of the training; with 0 there is no KL term, and no check.
    """

    code = "posterior_collapse"

    def __init__(self, kl_weight: float) -> None:
        super().__init__()
        self._kl_weight = kl_weight

    def check(self, measurements: Measurements) -> Unhealthy | Healthy | None:
        """Check an evaluation or the quality."""
        kl = measurements.values.get("kl")
        if measurements.stage == "training" or kl is None or self._kl_weight == 0 or measurements.step < FIRST_STEP:
            return None
        units = measurements.values.get("active_units")
        if kl < COLLAPSED_NATS or units == 0:
            active = "" if units is None else f" and {units:.0f} latent dimensions are active"
            return Unhealthy(
                message=f"The latents carry {kl:.2g} nats about an image{active}: the decoder ignores them and gives"
                " the average image.",
                hint=f"Lower kl_weight (it is {self._kl_weight:g}; the usual value is 1).",
                data={"kl": kl, "kl_weight": self._kl_weight} | ({} if units is None else {"active_units": units}),
            )
        return Healthy() if kl > INFORMATIVE_NATS else None
