"""Sampling parameters of the variational autoencoder."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from shared.model_types.base import SEVERAL_LATENTS, BoundedLatents, SamplingParameters

Coordinate = Annotated[float, Field(ge=-1000, le=1000)]
Latent = Annotated[list[Coordinate], Field(min_length=1, max_length=512)]
Index = Annotated[int, Field(ge=0, le=10_000_000)]


class RandomSampling(SamplingParameters):
    """Images of latents drawn from the prior."""

    mode: Literal["random"] = "random"
    n: int = Field(64, ge=1, le=10_000, description="Images to draw.")


class GridSampling(SamplingParameters):
    """Images of a square of latent space: rows go down along the second of `dims`, from end to start."""

    mode: Literal["grid"] = "grid"
    points: int = Field(20, ge=1, le=100, description="Points along each side.")
    start: Coordinate = Field(-4.0, description="Smallest coordinate.")
    end: Coordinate = Field(4.0, description="Largest coordinate.")
    dims: tuple[Index, Index] = Field((0, 1), strict=False, description="The two latent dimensions shown.")
    z: Latent | None = Field(None, description="The other dimensions' values; null is the origin.")


class InterpolateSampling(SamplingParameters):
    """Images along a straight line in latent space."""

    mode: Literal["interpolate"] = "interpolate"
    from_: Latent | Index = Field(alias="from", description="First latent, or the index of a test image.")
    to: Latent | Index = Field(description="Last latent, or the index of a test image.")
    steps: int = Field(10, ge=2, le=1000, description="Images, both ends included.")

    @property
    def reads_dataset(self) -> bool:
        """Whether an end is given as a test image."""
        return isinstance(self.from_, int) or isinstance(self.to, int)


class LatentSampling(SamplingParameters):
    """Images of given latents."""

    mode: Literal["latent"] = "latent"
    z: Annotated[list[Latent], Field(min_length=1, max_length=10_000), BoundedLatents] | Latent = Field(
        description=f"{SEVERAL_LATENTS}."
    )


class _TestImages(SamplingParameters):
    indices: list[Index] = Field(
        list(range(10)), min_length=1, max_length=10_000, description="Which test images, counted from 0."
    )

    @property
    def reads_dataset(self) -> bool:
        """Always: the test images are the input."""
        return True


class ReconstructSampling(_TestImages):
    """Test images through encoder and decoder: the originals in the first row, the reconstructions below."""

    mode: Literal["reconstruct"] = "reconstruct"


class EncodeSampling(_TestImages):
    """Latents of test images: arrays `mean` and `log_var`, [N, latent_size]; `labels` has their classes."""

    mode: Literal["encode"] = "encode"


def _default_mode(value: Any) -> Any:
    return {"mode": "random", **value} if isinstance(value, dict) else value


VaeSampling = Annotated[
    Annotated[
        RandomSampling | GridSampling | InterpolateSampling | LatentSampling | ReconstructSampling | EncodeSampling,
        Field(discriminator="mode"),
    ],
    BeforeValidator(_default_mode),
]


def rows_given(z: list[Any]) -> bool:
    """Whether `z` is several latents rather than one."""
    return isinstance(z[0], list)


def rows(z: list[Any]) -> list[list[float]]:
    """`z` as a list of latents, whichever way it was given."""
    return z if rows_given(z) else [z]
