"""Training and evaluation of the language model. Shapes: T time, B streams or windows, V distinct characters."""

import math
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from shared.datasets import DatasetShape
from shared.model_types.lstm import LstmHyperparameters, LstmSampling, check_config, check_sampling, check_training
from worker.blocks import BetweenBlocks, uninterrupted
from worker.data import Dataset, TextCorpus
from worker.models.base import Adapted, Generated, GenerativeModel, OnnxGraph, Sample, StepMetrics, require_fit
from worker.models.batch_parts import add_figures, parts_of, weighted
from worker.models.health import HealthCheck, LossExploding, NothingLearned
from worker.models.lstm.batches import CharacterBatch, Streams, Windows
from worker.models.lstm.evaluation import WINDOWS_AT_ONCE, HeldOutText, frequency_nats, perplexity, window_nats
from worker.models.lstm.export import step_graph
from worker.models.lstm.health import Memorizing, VerbatimCopy
from worker.models.lstm.memorization import overlaps
from worker.models.lstm.network import LstmNetwork, State
from worker.models.lstm.regularization import activation_penalty_gradients
from worker.models.lstm.sampling import CharacterSampler
from worker.models.lstm.vocabulary import with_vocabulary
from worker.models.optimization import ScheduledOptimizer, adam_settings, device_rate
from worker.models.rmsprop import RMSprop

SAMPLE_TEMPERATURES = (0.0, 0.25, 0.5, 0.75)
SAMPLE_CHARACTERS = 200


class Lstm(LstmNetwork, GenerativeModel):
    """The network, its optimizer, its carried state, and its evaluation."""

    hyperparameters: LstmHyperparameters

    @classmethod
    def for_data(cls, hyperparameters: LstmHyperparameters, dataset: Dataset) -> "Lstm":
        """A fresh model with the text's character set."""
        assert isinstance(dataset, TextCorpus)
        require_fit(check_training, hyperparameters, dataset)
        held_out = dataset.text[dataset.split :]
        seed_text = held_out[held_out.find("\n") + 1 :][: max(hyperparameters.window, 40)] or held_out or dataset.text
        return cls(hyperparameters, "".join(dataset.vocabulary), seed_text)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Lstm":
        """A model of the right shape."""
        hyperparameters = LstmHyperparameters.model_validate(config["hyperparameters"])
        return cls(hyperparameters, config["vocabulary"], config["seed_text"])

    def config(self) -> dict[str, Any]:
        """Hyperparameters, character set, and the prompt of samples."""
        return {
            "hyperparameters": self.hyperparameters.model_dump(mode="json"),
            "vocabulary": self.vocabulary,
            "seed_text": self.seed_text,
        }

    def adapted(self, weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> Adapted:
        """Characters in common with the other run keep their weights; new ones start fresh."""
        return with_vocabulary(
            self.state_dict(),
            weights,
            before=config["vocabulary"],
            now=self.vocabulary,
            is_one_hot=self.embedding is None,
        )

    # --- training -----------------------------------------------------------------------------------------------

    def start_training(self, dataset: Dataset, *, seed: int) -> None:
        """Put the ids on the device and make the optimizer."""
        assert isinstance(dataset, TextCorpus)
        hyperparameters = self.hyperparameters
        ids_N = dataset.ids.to(self.device)
        self._training_N = ids_N[: dataset.split]
        reads_streams = hyperparameters.batching == "streams"
        self._held_out = HeldOutText(ids_N, dataset.split, None if reads_streams else hyperparameters.window)
        reader = Streams if reads_streams else Windows
        self._reader: Streams | Windows = reader(self._training_N, hyperparameters, seed)
        rate = hyperparameters.learning_rate
        if hyperparameters.optimizer == "adamw":
            optimizer: torch.optim.Optimizer = torch.optim.AdamW(
                self.parameters(), weight_decay=hyperparameters.weight_decay, **adam_settings(rate, self.device)
            )
        else:
            optimizer = RMSprop(self.parameters(), device_rate(rate, self.device))
        self._optimizer = ScheduledOptimizer(
            {"optimizer": optimizer},
            hyperparameters,
            steps_per_epoch=self.steps_per_epoch(),
            warmup_steps=hyperparameters.warmup_steps,
        )
        # In float32, which represents bfloat16 exactly: the next step may compute in the other precision.
        self._carried: State = []
        if isinstance(self._reader, Streams):
            shapes = [(1, self._reader.streams, units) for units in hyperparameters.layers]
            self._carried = [
                (torch.zeros(shape, device=self.device), torch.zeros(shape, device=self.device)) for shape in shapes
            ]
        self._epoch = 1

    def steps_per_epoch(self) -> int:
        """Steps in one epoch."""
        return self._reader.steps_per_epoch

    def examples_per_step(self) -> int:
        """Characters predicted in one step."""
        return self._reader.examples_per_step

    def batches(self, epoch: int, first_step: int) -> Iterator[CharacterBatch]:
        """Batches of an epoch."""
        self._epoch = epoch
        return self._reader.batches(epoch, first_step)

    def step_tensors(self, batch: CharacterBatch) -> tuple[Tensor, ...]:
        """Inputs and targets."""
        return batch.inputs, batch.targets

    def host_step(self, batch: CharacterBatch) -> StepMetrics:
        """The learning rate, and the reset of the carried state where the batch is fresh."""
        if batch.fresh:
            for part in chain.from_iterable(self._carried):
                part.zero_()
        return {"learning_rate": self._optimizer.next_rate()}

    def device_step(self, *tensors: Tensor) -> StepMetrics:
        """One step of truncated back-propagation through time."""
        inputs_TB, targets = tensors
        optimizer = self._optimizer["optimizer"]
        optimizer.zero_grad()
        masks = self.recurrent_masks() if self.batch_parts > 1 else None
        figures: dict[str, Tensor] = {}
        for rows, share in parts_of(inputs_TB.shape[1], self.batch_parts):
            carried = [(h[:, rows], c[:, rows]) for h, c in self._carried]
            loss, state = self._add_gradients(inputs_TB[:, rows], targets[..., rows], carried, masks, share)
            for kept, new in zip(chain.from_iterable(carried), chain.from_iterable(state), strict=False):
                kept.copy_(new.detach())
            add_figures(figures, {"loss": loss}, share)
        if self.hyperparameters.clip_norm:
            nn.utils.clip_grad_norm_(self.parameters(), self.hyperparameters.clip_norm)
        optimizer.step()
        return figures

    def _add_gradients(
        self, inputs_TB: Tensor, targets: Tensor, carried: State, masks: list[Tensor] | None, share: float
    ) -> tuple[Tensor, State]:
        """Add the gradients of a part of the batch; returns its loss and the next state."""
        with self.autocast():
            h_TBH, x_TBH, state = self.read(inputs_TB, carried, masks)
            logits = self.head(x_TBH[-1] if targets.dim() == 1 else x_TBH)
        loss = cross_entropy(logits.flatten(0, -2).float(), targets.flatten())
        regularized = activation_penalty_gradients(
            h_TBH,
            x_TBH,
            alpha=share * self.hyperparameters.activation_regularization,
            beta=share * self.hyperparameters.temporal_activation_regularization,
        )
        roots, gradients = zip((weighted(loss, share), None), *regularized, strict=True)
        torch.autograd.backward(roots, gradients)
        return loss.detach(), state

    def training_state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Optimizer, carried state, and the step that the learning rate follows."""
        tensors, values = self._optimizer.state()
        for index, (h, c) in enumerate(self._carried):
            tensors |= {f"carried.{index}.h": h, f"carried.{index}.c": c}
        return tensors, {**values, "epoch": self._epoch}

    def load_training_state(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Restore the result of `training_state`."""
        self._optimizer.load(tensors, values)
        for index, (h, c) in enumerate(self._carried):
            if f"carried.{index}.h" in tensors:  # earlier versions wrote none before the first step
                h.copy_(tensors[f"carried.{index}.h"])
                c.copy_(tensors[f"carried.{index}.c"])
        self._epoch = values["epoch"]

    def health_checks(self) -> list[HealthCheck]:
        """Checks for an exploding loss, for memorisation, and for a model that has learned nothing."""
        return [
            LossExploding(),
            Memorizing(),
            VerbatimCopy(),
            NothingLearned("val_loss", self._frequency_nats, "a choice by the characters' frequencies"),
        ]

    def _frequency_nats(self) -> float:
        return frequency_nats(self._training_N, self._held_out.ids, len(self.vocabulary))

    # --- evaluation and sampling --------------------------------------------------------------------------------

    def evaluate(self) -> dict[str, float]:
        """`bits_per_char` on held-out text; `val_loss` in nats, on the validation windows if there are any."""
        nats = self._held_out.cheap_nats(self)
        figures = {"val_loss": nats, "bits_per_char": nats / math.log(2)}
        if isinstance(self._reader, Windows) and self._reader.has_validation:
            starts = self._reader.validation_starts(self._epoch, WINDOWS_AT_ONCE)
            figures["val_loss"] = window_nats(self, self._training_N, starts)
        return figures

    def final_quality(self) -> dict[str, float]:
        """Metrics on the whole held-out text, and the longest overlap with the training text."""
        nats = self._held_out.nats(self)
        figures = {"val_loss": nats, "bits_per_char": nats / math.log(2), "perplexity": perplexity(nats)}
        return figures | overlaps(self, self._training_N, self._held_out.ids)

    def quick_quality(self) -> dict[str, float]:
        """Loss on the beginning of the held-out text."""
        nats = self._held_out.cheap_nats(self)
        return {"val_loss": nats, "bits_per_char": nats / math.log(2), "perplexity": math.exp(nats)}

    def quality_cost(self) -> int:
        """The held-out text, read without a backward pass, and the search of the training text for passages."""
        return len(self._held_out.ids) // 2 + len(self._training_N) // 20

    def epoch_samples(self, epoch: int) -> list[Sample]:
        """Text at several temperatures after one passage."""
        samples = []
        for temperature in SAMPLE_TEMPERATURES:
            sampling = LstmSampling(temperature=temperature, length=SAMPLE_CHARACTERS)
            text = (self.generate(sampling, seed=0).texts or [""])[0]
            meta = {"epoch": epoch, "temperature": temperature, "prompt": self.seed_text}
            samples.append(Sample(name=f"t{temperature:g}", content=text, meta=meta))
        return samples

    def generate(
        self,
        sampling: LstmSampling,
        *,
        seed: int,
        dataset: Dataset | None = None,  # noqa: ARG002 - no sampling of this model reads it
        between_blocks: BetweenBlocks = uninterrupted,
    ) -> Generated:
        """`n` continuations of the prompt, without the prompt itself."""
        check_sampling(self.hyperparameters, sampling, DatasetShape(kind="text"))
        check_config(sampling.model_copy(update={"stop": []}), self.config())  # a stop string may be unwritable here
        prompt = sampling.prompt if sampling.prompt is not None else self.seed_text
        texts = CharacterSampler(self).texts(prompt, sampling, seed=seed, between_blocks=between_blocks)
        return Generated(texts=texts, meta={"prompt": prompt, "temperature": sampling.temperature})

    def onnx_graphs(self) -> list[OnnxGraph]:
        """One graph, of one step."""
        return [step_graph(self)]
