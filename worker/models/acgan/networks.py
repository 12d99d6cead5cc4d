"""The generator and discriminator pairs of the ACGAN.

A generator turns latents [B, Z] and labels [B] into images [B, C, H, W] in [-1, 1]. A discriminator turns images and
labels into realness [B] and class logits [B, K].
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, leaky_relu, relu
from torch.nn.utils.parametrizations import spectral_norm

from shared.model_types.adversarial import AdversarialHyperparameters

SLOPE = 0.2  # of the leaky ReLUs


class ConditionalNorm(nn.Module):
    """Batch normalisation whose scale and shift depend on the class (Dumoulin et al. 2017, arXiv:1610.07629)."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.scale = nn.Embedding(classes, channels)
        self.shift = nn.Embedding(classes, channels)
        nn.init.ones_(self.scale.weight)
        nn.init.zeros_(self.shift.weight)

    def forward(self, x_BCHW: Tensor, labels_B: Tensor) -> Tensor:
        """Same shape as x."""
        return torch.addcmul(
            self.shift(labels_B)[:, :, None, None], self.norm(x_BCHW), self.scale(labels_B)[:, :, None, None]
        )


class CompactGenerator(nn.Module):
    """Dense to a quarter of the size, then two transposed convolutions, the class in every normalisation."""

    def __init__(
        self, hyperparameters: AdversarialHyperparameters, image_shape: tuple[int, int, int], classes: int
    ) -> None:
        super().__init__()
        channels, height, width = image_shape
        c = hyperparameters.width
        self.seed_shape = (2 * c, height // 4, width // 4)
        self.dense = nn.Linear(hyperparameters.latent_size, 2 * c * (height // 4) * (width // 4))
        self.prototype = nn.Embedding(classes, self.dense.out_features)  # common part of all images of a class
        nn.init.normal_(self.prototype.weight, std=0.5)
        self.norm0 = ConditionalNorm(2 * c, classes)
        self.up1 = nn.ConvTranspose2d(2 * c, c, 4, stride=2, padding=1, bias=False)
        self.norm1 = ConditionalNorm(c, classes)
        self.up2 = nn.ConvTranspose2d(c, c // 2, 4, stride=2, padding=1, bias=False)
        self.norm2 = ConditionalNorm(c // 2, classes)
        self.to_image = nn.Conv2d(c // 2, channels, 3, padding=1)

    def forward(self, z_BZ: Tensor, labels_B: Tensor) -> Tensor:
        """[B, C, H, W]."""
        x = (self.dense(z_BZ) + self.prototype(labels_B)).view(-1, *self.seed_shape)
        x = x.contiguous(memory_format=torch.channels_last)
        x = relu(self.norm0(x, labels_B))
        x = relu(self.norm1(self.up1(x), labels_B))
        x = relu(self.norm2(self.up2(x), labels_B))
        return torch.tanh(self.to_image(x).float())


class CompactDiscriminator(nn.Module):
    """Four convolutions with spectral normalisation (Miyato et al. 2018, arXiv:1802.05957).

    Realness depends on the label too, by projection (Miyato & Koyama 2018, arXiv:1802.05637); the auxiliary classifier
    depends on the image alone.
    """

    def __init__(
        self, hyperparameters: AdversarialHyperparameters, image_shape: tuple[int, int, int], classes: int
    ) -> None:
        super().__init__()
        channels, height, width = image_shape
        c = hyperparameters.width
        self.convolutions = nn.ModuleList(
            spectral_norm(convolution)
            for convolution in (
                nn.Conv2d(channels, c, 4, stride=2, padding=1),
                nn.Conv2d(c, 2 * c, 4, stride=2, padding=1),
                nn.Conv2d(2 * c, 4 * c, 3, padding=1),
                nn.Conv2d(4 * c, 4 * c, 3, stride=2, padding=1),
            )
        )
        features = 4 * c * -(-height // 8) * -(-width // 8)
        self.dropout = nn.Dropout(hyperparameters.dropout)
        self.realness = spectral_norm(nn.Linear(features, 1))
        self.projection = spectral_norm(nn.Embedding(classes, features))
        self.classifier = nn.Linear(features, classes)

    def forward(self, images_BCHW: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor]:
        """Realness [B], positive for real, and class logits [B, K]."""
        x = images_BCHW.contiguous(memory_format=torch.channels_last)
        for convolution in self.convolutions:
            x = leaky_relu(convolution(x), SLOPE)
        x_BF = self.dropout(x.flatten(1))
        realness_B = self.realness(x_BF)[:, 0] + (self.projection(labels_B) * x_BF).sum(dim=1)
        return realness_B.float(), self.classifier(x_BF).float()


class BookGenerator(nn.Module):
    """The published generator: the latent times the class's embedding, dense 3·3·384, three transposed convolutions."""

    def __init__(
        self, hyperparameters: AdversarialHyperparameters, image_shape: tuple[int, int, int], classes: int
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, hyperparameters.latent_size)
        self.dense = nn.Linear(hyperparameters.latent_size, 3 * 3 * 384)
        self.up1 = nn.ConvTranspose2d(384, 192, 5)
        self.norm1 = nn.BatchNorm2d(192, eps=1e-3, momentum=0.01)
        self.up2 = nn.ConvTranspose2d(192, 96, 5, stride=2, padding=2, output_padding=1)
        self.norm2 = nn.BatchNorm2d(96, eps=1e-3, momentum=0.01)
        self.up3 = nn.ConvTranspose2d(96, image_shape[0], 5, stride=2, padding=2, output_padding=1)
        for layer in (self.up1, self.up2, self.up3):
            nn.init.xavier_normal_(layer.weight)
        nn.init.xavier_normal_(self.embedding.weight)
        _keras_defaults(self.dense, self.up1, self.up2, self.up3, keep_weights=(self.up1, self.up2, self.up3))

    def forward(self, z_BZ: Tensor, labels_B: Tensor) -> Tensor:
        """[B, C, 28, 28]."""
        x = relu(self.dense(z_BZ * self.embedding(labels_B))).view(-1, 384, 3, 3)  # in the layout of the weights
        x = self.norm1(relu(self.up1(x)))
        x = self.norm2(relu(self.up2(x)))
        return torch.tanh(self.up3(x).float())


class BookDiscriminator(nn.Module):
    """The published discriminator: four convolutions with dropout, one head for realness and one for the class."""

    def __init__(
        self, hyperparameters: AdversarialHyperparameters, image_shape: tuple[int, int, int], classes: int
    ) -> None:
        super().__init__()
        channels, height, width = image_shape
        sizes = (channels, 32, 64, 128, 256)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(sizes[i], sizes[i + 1], 3, stride=(2, 1, 2, 1)[i], padding=1) for i in range(4)
        )
        features = 256 * -(-height // 4) * -(-width // 4)
        self.dropout = hyperparameters.dropout
        self.realness = nn.Linear(features, 1)
        self.classifier = nn.Linear(features, classes)
        _keras_defaults(*self.convolutions, self.realness, self.classifier)

    def forward(self, images_BCHW: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG002 - the pairs' shape
        """Realness as a logit [B], and class logits [B, K]."""
        x = images_BCHW.contiguous(memory_format=torch.channels_last)
        for convolution in self.convolutions:
            x = dropout(leaky_relu(convolution(x), SLOPE), self.dropout, self.training)
        x_BF = x.flatten(1)
        return self.realness(x_BF)[:, 0].float(), self.classifier(x_BF).float()


def _keras_defaults(*layers: nn.Module, keep_weights: tuple[nn.Module, ...] = ()) -> None:
    """Glorot uniform weights and zero biases."""
    for layer in layers:
        assert isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)
        if layer not in keep_weights:
            nn.init.xavier_uniform_(layer.weight)
