"""The compact generator by compiled loops against the generator itself."""

import pytest
import torch
from torch import Tensor, nn

from shared import model_types
from shared.model_types.acgan import AcganHyperparameters
from worker.models.acgan.model import Acgan
from worker.models.acgan.networks import CompactGenerator
from worker.models.acgan.painting import Painter, as_drawn
from worker.models.acgan.sampling import draw

CLASSES = 5


def hyperparameters(**values: int) -> AcganHyperparameters:
    resolved = model_types.get("acgan").resolve("fast", values)
    assert isinstance(resolved, AcganHyperparameters)
    return resolved


def trained(width: int, image_shape: tuple[int, int, int]) -> CompactGenerator:
    """A generator in evaluation mode, none of whose numbers is what it starts as."""
    network = CompactGenerator(hyperparameters(width=width, latent_size=7), image_shape, CLASSES)
    with torch.no_grad():
        for norm in (network.norm0, network.norm1, network.norm2):
            norm.scale.weight.uniform_(0.5, 1.5)
            norm.shift.weight.normal_()
        for _ in range(3):
            network(*asked_for(40))
    return network.eval()


def asked_for(count: int) -> tuple[Tensor, Tensor]:
    return torch.randn(count, 7), torch.arange(count) % CLASSES


@pytest.mark.parametrize("width", [32, 12])
@pytest.mark.parametrize("image_shape", [(1, 28, 28), (3, 8, 12)])
@pytest.mark.parametrize("count", [1, 33])
@torch.no_grad()
def test_images_are_the_generator_s_own(width: int, image_shape: tuple[int, int, int], count: int) -> None:
    torch.manual_seed(width + count)
    network = trained(width, image_shape)
    z, labels = asked_for(count)

    images = Painter(network)(z, labels)

    expected = network(z, labels)
    assert images.shape == expected.shape
    assert images.std() > 0.1
    assert torch.allclose(images, expected, rtol=0, atol=2e-6)


@torch.no_grad()
def test_images_are_the_same_on_any_number_of_threads_but_for_rounding() -> None:
    torch.manual_seed(1)
    painter = Painter(trained(16, (1, 28, 28)))
    z, labels = asked_for(48)
    before = torch.get_num_threads()
    drawn = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            drawn.append(painter(z, labels))
    finally:
        torch.set_num_threads(before)

    assert torch.allclose(drawn[0], drawn[1], rtol=0, atol=2e-6)
    assert torch.allclose(drawn[0], drawn[2], rtol=0, atol=2e-6)


def test_what_is_drawn_follows_the_weights() -> None:
    model = Acgan(hyperparameters(width=16, latent_size=7), (1, 8, 8), list("abcde")).eval()
    network = model.average
    assert isinstance(network, CompactGenerator)
    assert network.to_image.bias is not None
    z, labels = asked_for(4)
    before = draw(model, z, labels)

    with torch.no_grad():
        network.to_image.bias.add_(1.0)

    assert torch.all(draw(model, z, labels) > before)


def test_other_generators_draw_for_themselves() -> None:
    book = Acgan(model_types.get("acgan").resolve("book", {}), (1, 28, 28), list("abcde"))  # type: ignore[arg-type]

    assert as_drawn(book.generator) is book.generator


def test_a_generator_elsewhere_draws_for_itself() -> None:
    network: nn.Module = CompactGenerator(hyperparameters(width=16), (1, 8, 8), CLASSES).to("meta")

    assert as_drawn(network) is network
