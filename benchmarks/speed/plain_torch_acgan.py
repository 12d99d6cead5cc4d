"""The book's ACGAN in plain PyTorch, eager, as a user would write it."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - everybody's name for it

from benchmarks.speed.bench_data import BenchData
from benchmarks.speed.cases import Case
from benchmarks.speed.plain_torch import Autocast

LATENT = 100
CLASSES = 10
REAL = 0.95  # the discriminator's target for real images


class Generator(nn.Module):
    """Latent times class embedding, dense, three transposed convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(CLASSES, LATENT)
        self.dense = nn.Linear(LATENT, 3 * 3 * 384)
        self.up1 = nn.ConvTranspose2d(384, 192, 5)
        self.norm1 = nn.BatchNorm2d(192, eps=1e-3, momentum=0.01)
        self.up2 = nn.ConvTranspose2d(192, 96, 5, stride=2, padding=2, output_padding=1)
        self.norm2 = nn.BatchNorm2d(96, eps=1e-3, momentum=0.01)
        self.up3 = nn.ConvTranspose2d(96, 1, 5, stride=2, padding=2, output_padding=1)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """[B, 1, 28, 28] in [-1, 1]."""
        x = F.relu(self.dense(z * self.embedding(labels))).view(-1, 384, 3, 3)
        x = self.norm1(F.relu(self.up1(x)))
        x = self.norm2(F.relu(self.up2(x)))
        return torch.tanh(self.up3(x).float())


class Discriminator(nn.Module):
    """Four convolutions with dropout, two heads."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs, stride in ((1, 32, 2), (32, 64, 1), (64, 128, 2), (128, 256, 1)):
            layers += [nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1), nn.LeakyReLU(0.2), nn.Dropout(0.3)]
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.realness = nn.Linear(256 * 7 * 7, 1)
        self.classifier = nn.Linear(256 * 7 * 7, CLASSES)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Realness as a logit [B], class logits [B, 10]."""
        features = self.body(images)
        return self.realness(features)[:, 0].float(), self.classifier(features).float()


class AcganTrainer:
    """One step of the discriminator on 100 real and 100 generated images, one of the generator on 200."""

    def __init__(self, case: Case, data: BenchData, autocast: Autocast) -> None:
        dataset = data.images("acgan")
        self.images, self.labels = dataset.train_images, dataset.train_labels
        self.case, self.autocast = case, autocast
        self.generator, self.discriminator = Generator(), Discriminator()
        self.model = nn.ModuleList([self.generator, self.discriminator])
        self.g_optimizer = torch.optim.Adam(self.generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
        self.d_optimizer = torch.optim.Adam(self.discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))

    def step(self) -> dict[str, Tensor]:
        """One step of each on random images."""
        chosen = torch.randint(len(self.images), (self.case.batch,))
        return self.learn(self.images[chosen].float() / 127.5 - 1, self.labels[chosen])

    def learn(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """One step of each on images in [-1, 1]."""
        d_loss = self.discriminator_loss(images, labels)
        self.d_optimizer.zero_grad()
        d_loss.backward()
        self.d_optimizer.step()

        self.discriminator.requires_grad_(False)
        g_loss = self.generator_loss(2 * len(images))
        self.g_optimizer.zero_grad()
        g_loss.backward()
        self.g_optimizer.step()
        self.discriminator.requires_grad_(True)
        return {"d_loss": d_loss.detach(), "g_loss": g_loss.detach()}

    def discriminator_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Real images in [-1, 1] from generated ones, and the classes of both."""
        z, random_labels = self.noise(len(images))
        self.generator.eval()
        with self.autocast():
            with torch.no_grad():
                generated = self.generator(z, random_labels)
            realness, classes = self.discriminator(torch.cat([images, generated]))
        wanted = torch.cat([torch.full((len(images),), REAL), torch.zeros(len(images))])
        bce = F.binary_cross_entropy_with_logits(realness, wanted)
        return bce + F.cross_entropy(classes, torch.cat([labels, random_labels]))

    def generator_loss(self, batch: int) -> Tensor:
        """The generated images classified as real and as the requested class."""
        z, random_labels = self.noise(batch)
        self.generator.train()
        with self.autocast():
            realness, classes = self.discriminator(self.generator(z, random_labels))
        bce = F.binary_cross_entropy_with_logits(realness, torch.full((batch,), REAL))
        return bce + F.cross_entropy(classes, random_labels)

    def noise(self, batch: int) -> tuple[Tensor, Tensor]:
        """Latents, uniform ±1, and classes."""
        return torch.rand(batch, LATENT) * 2 - 1, torch.randint(CLASSES, (batch,))
