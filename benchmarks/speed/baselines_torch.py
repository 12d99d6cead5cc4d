"""The baselines in plain, eager PyTorch: training in float32 and with bfloat16 autocast, and naive sampling."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

import torch

from benchmarks.speed.bench_data import BenchData
from benchmarks.speed.cases import Case
from benchmarks.speed.implementations import BenchContext, Implementation, LeftOutError, Ready
from benchmarks.speed.plain_torch import Autocast, CharacterModel, TextTrainer, Trainer, Vae, VaeTrainer, write_text
from benchmarks.speed.plain_torch_acgan import CLASSES, LATENT, AcganTrainer, Generator
from worker.models.lstm.recurrence import onednn_has_bfloat16

TRAINERS: dict[str, Callable[[Case, BenchData, Autocast], Trainer]] = {
    "lstm": TextTrainer,
    "vae": VaeTrainer,
    "acgan": AcganTrainer,
}


def timed(call: Callable[[], object], count: int) -> float:
    """Seconds of `count` calls."""
    began = time.perf_counter()
    for _ in range(count):
        call()
    return time.perf_counter() - began


def prepare_training(case: Case, context: BenchContext, *, bfloat16: bool) -> Ready:
    """A plain training loop."""
    if bfloat16 and not onednn_has_bfloat16():
        raise LeftOutError("this processor does not multiply bfloat16")
    torch.manual_seed(0)
    autocast = partial(torch.autocast, "cpu", dtype=torch.bfloat16) if bfloat16 else nullcontext
    trainer = TRAINERS[case.model_type](case, context.data, autocast)
    parameters = sum(parameter.numel() for parameter in trainer.model.parameters())
    about = "bfloat16" if bfloat16 else "float32"
    return Ready(run=partial(timed, trainer.step), about=about, parameters=parameters)


def prepare_sampling(case: Case, context: BenchContext) -> Ready:
    """From random numbers to texts or pixels, as a user would write it."""
    torch.manual_seed(0)
    sample = {"lstm": text_sampler, "vae": grid_sampler, "acgan": digit_sampler}[case.model_type](case, context)
    return Ready(run=partial(timed, sample), about="float32")


def text_sampler(case: Case, context: BenchContext) -> Callable[[], object]:
    """Writes texts with `nn.LSTM`, a step at a time."""
    corpus = context.data.text
    model = CharacterModel(len(corpus.vocabulary), case.layers).eval()
    prompt = corpus.held_out_ids[: case.window].long().repeat(case.batch, 1)

    def sample() -> list[str]:
        ids = write_text(model, prompt, case.length)
        return ["".join(corpus.vocabulary[index] for index in text) for text in ids.tolist()]

    return sample


def grid_sampler(case: Case, _context: BenchContext) -> Callable[[], object]:
    """Decodes a square of latents."""
    model = Vae().eval()
    axis = torch.linspace(-4, 4, round(case.batch**0.5))

    @torch.no_grad()
    def sample() -> object:
        return model.decoder(torch.cartesian_prod(axis, axis)).view(-1, 1, 28, 28).numpy()

    return sample


def digit_sampler(case: Case, _context: BenchContext) -> Callable[[], object]:
    """Generates digits of given classes."""
    model = Generator().eval()
    labels = torch.arange(case.batch) % CLASSES

    @torch.no_grad()
    def sample() -> object:
        return ((model(torch.rand(case.batch, LATENT) * 2 - 1, labels) + 1) / 2).numpy()

    return sample


IMPLEMENTATIONS = (
    Implementation(
        name="torch",
        title="PyTorch, eager",
        role="peer",
        kind="training",
        prepare=partial(prepare_training, bfloat16=False),
    ),
    Implementation(
        name="torch-bf16",
        title="PyTorch, eager, autocast",
        role="peer",
        kind="training",
        prepare=partial(prepare_training, bfloat16=True),
    ),
    Implementation(name="torch", title="PyTorch, eager", role="peer", kind="sampling", prepare=prepare_sampling),
)
