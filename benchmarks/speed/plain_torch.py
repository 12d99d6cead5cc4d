"""The book's LSTM and VAE in plain, eager PyTorch, as a user would write them.

The models and steps share nothing with Mimeo but the data.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import pairwise
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - everybody's name for it

from benchmarks.speed.bench_data import BenchData
from benchmarks.speed.cases import Case

Autocast = Callable[[], AbstractContextManager[Any]]


class Trainer(Protocol):
    """A model with its optimizer and data."""

    model: nn.Module

    def step(self) -> dict[str, Tensor]:
        """Train on one batch. Returns the losses."""
        ...


# --- LSTM ---------------------------------------------------------------------------------------------------------


class CharacterModel(nn.Module):
    """One-hot characters, LSTM layers, logits of the next character."""

    def __init__(self, vocabulary: int, layers: tuple[int, ...]) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        assert all(units == other for units, other in pairwise(layers)), "nn.LSTM has one size for all its layers"
        self.lstm = nn.LSTM(vocabulary, layers[0], num_layers=len(layers), batch_first=True)
        self.head = nn.Linear(layers[-1], vocabulary)

    def forward(
        self, characters: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """[B, T] → [B, T, H], before the head, and the state."""
        hidden, state = self.lstm(F.one_hot(characters, self.vocabulary).float(), state)
        return hidden, state


class TextTrainer:
    """Windows from random places, RMSprop."""

    def __init__(self, case: Case, data: BenchData, autocast: Autocast) -> None:
        self.text = data.text.training_ids.long()
        self.case, self.autocast = case, autocast
        self.model = CharacterModel(len(data.text.vocabulary), case.layers)
        self.optimizer = torch.optim.RMSprop(self.model.parameters(), lr=1e-2, alpha=0.9, eps=1e-7)

    def loss(self, windows: Tensor) -> Tensor:
        """Loss of windows [B, T + 1]: the next character after each position, or after the last but one."""
        with self.autocast():
            hidden, _ = self.model(windows[:, :-1])
            if self.case.every_character:
                logits = self.model.head(hidden)
                return F.cross_entropy(logits.flatten(0, 1).float(), windows[:, 1:].flatten())
            return F.cross_entropy(self.model.head(hidden[:, -1]).float(), windows[:, -1])

    def step(self) -> dict[str, Tensor]:
        """One step on windows from random places."""
        starts = torch.randint(len(self.text) - self.case.window, (self.case.batch, 1))
        return self.learn(self.text[starts + torch.arange(self.case.window + 1)])

    def learn(self, windows: Tensor) -> dict[str, Tensor]:
        """One step on windows [B, T + 1]."""
        loss = self.loss(windows)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {"loss": loss.detach()}


def write_text(model: CharacterModel, prompt: Tensor, length: int, temperature: float = 0.75) -> Tensor:
    """Characters after the prompt [B, T], one step of the LSTM at a time, [B, length]."""
    written = []
    with torch.no_grad():
        hidden, state = model(prompt)
        for _ in range(length):
            probabilities = torch.softmax(model.head(hidden[:, -1]) / temperature, dim=-1)
            character = torch.multinomial(probabilities, 1)
            written.append(character)
            hidden, state = model(character, state)
    return torch.cat(written, dim=1)


# --- VAE ----------------------------------------------------------------------------------------------------------


class Vae(nn.Module):
    """784-512-2 and back."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(784, 512)
        self.mean = nn.Linear(512, 2)
        self.log_var = nn.Linear(512, 2)
        self.decoder = nn.Sequential(nn.Linear(2, 512), nn.ReLU(), nn.Linear(512, 784), nn.Sigmoid())

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B, 784] → reconstruction, mean, log variance."""
        hidden = F.relu(self.hidden(images))
        mean, log_var = self.mean(hidden).float(), self.log_var(hidden).float()
        z = mean + torch.exp(log_var / 2) * torch.randn_like(mean)
        return self.decoder(z).float(), mean, log_var


class VaeTrainer:
    """784 × mean squared error + KL, Adam."""

    def __init__(self, case: Case, data: BenchData, autocast: Autocast) -> None:
        self.images = data.images("vae").train_images.flatten(1)
        self.case, self.autocast = case, autocast
        self.model = Vae()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)

    def losses(self, images: Tensor) -> dict[str, Tensor]:
        """Of images in [0, 1]."""
        with self.autocast():
            pixels, mean, log_var = self.model(images)
        reconstruction = 784 * F.mse_loss(pixels, images)
        kl = -0.5 * (1 + log_var - mean.square() - log_var.exp()).sum(dim=1).mean()
        return {"loss": reconstruction + kl, "reconstruction": reconstruction, "kl": kl}

    def step(self) -> dict[str, Tensor]:
        """One step on random images."""
        return self.learn(self.images[torch.randint(len(self.images), (self.case.batch,))].float() / 255)

    def learn(self, images: Tensor) -> dict[str, Tensor]:
        """One step on images in [0, 1]."""
        losses = self.losses(images)
        self.optimizer.zero_grad()
        losses["loss"].backward()
        self.optimizer.step()
        return {name: loss.detach() for name, loss in losses.items()}
