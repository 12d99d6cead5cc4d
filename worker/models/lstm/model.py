"""A character-level LSTM language model (Hochreiter & Schmidhuber 1997; Graves 2013, arXiv:1308.0850).

It reads characters and says how likely each character is to come next. Shapes: T time, B streams or windows, V distinct
characters, H units of a layer.
"""

import math
from collections.abc import Iterator, Mapping
from itertools import chain, pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, dropout, one_hot

from shared.errors import SpecError
from shared.model_types.base import DatasetShape
from shared.model_types.lstm import LstmHyperparameters, LstmSampling, check_sampling, check_training
from worker.data import Dataset, TextCorpus
from worker.models.base import Generated, GenerativeModel, OnnxGraph, Sample, StepMetrics, require_fit
from worker.models.health import HealthCheck, LossExploding
from worker.models.lstm.batches import CharacterBatch, Streams, Windows
from worker.models.lstm.evaluation import HeldOutText, window_nats
from worker.models.lstm.export import step_graph
from worker.models.lstm.health import Memorizing, VerbatimCopy
from worker.models.lstm.memorization import overlaps
from worker.models.lstm.recurrence import LayerState, run_layer
from worker.models.lstm.regularization import activation_penalty_gradients
from worker.models.lstm.sampling import CharacterSampler
from worker.models.optimization import (
    adam_settings,
    device_rate,
    learning_rate,
    load_optimizer_tensors,
    optimizer_tensors,
    set_learning_rate,
)
from worker.models.rmsprop import RMSprop

State = list[LayerState]
"""Of each layer."""

SAMPLE_TEMPERATURES = (0.0, 0.25, 0.5, 0.75)
SAMPLE_CHARACTERS = 200

# Indices from which on the gradient of torch's embedding waits for the GPU, which a recorded step may not
# (https://github.com/pytorch/pytorch/issues/82886).
_MOST_LOOKED_UP = 3072


def lstm_layer(inputs: int, units: int) -> nn.LSTM:
    """Glorot input weights, orthogonal recurrent ones, forget gates that start open (Jozefowicz et al. 2015)."""
    layer = nn.LSTM(inputs, units)
    for name, parameter in layer.named_parameters():
        if name == "weight_ih_l0":
            nn.init.xavier_uniform_(parameter)
        elif name == "weight_hh_l0":
            nn.init.orthogonal_(parameter)
        else:
            nn.init.zeros_(parameter)
        if name == "bias_ih_l0":
            nn.init.ones_(parameter[units : 2 * units])
    return layer


class Lstm(GenerativeModel):
    """Embedding (or one-hot), LSTM layers, softmax over the characters."""

    hyperparameters: LstmHyperparameters

    def __init__(self, hyperparameters: LstmHyperparameters, vocabulary: str, seed_text: str) -> None:
        super().__init__()
        self.hyperparameters = hyperparameters
        self.vocabulary = vocabulary
        self.seed_text = seed_text
        self.embedding = nn.Embedding(len(vocabulary), hyperparameters.embedding) if hyperparameters.embedding else None
        sizes = (hyperparameters.embedding or len(vocabulary), *hyperparameters.layers)
        self.layers = nn.ModuleList(lstm_layer(inputs, units) for inputs, units in pairwise(sizes))
        self.head = nn.Linear(sizes[-1], len(vocabulary))
        nn.init.xavier_uniform_(self.head.weight)
        nn.init.zeros_(self.head.bias)

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
        """Hyperparameters, character set, and the passage that samples go on from."""
        return {
            "hyperparameters": self.hyperparameters.model_dump(mode="json"),
            "vocabulary": self.vocabulary,
            "seed_text": self.seed_text,
        }

    def forward(self, ids_TB: Tensor, state: State | None = None, *, last: bool = False) -> tuple[Tensor, State]:
        """Logits of the next character, [T, B, V] (or [B, V] after the last one only), and the state to go on from."""
        _, x_TBH, after = self._read(ids_TB, state)
        return self.head(x_TBH[-1] if last else x_TBH), after

    def _read(self, ids_TB: Tensor, state: State | None) -> tuple[Tensor, Tensor, State]:
        """The last layer's hidden states before and after dropout, [T, B, H] each, and the state to go on from."""
        x_TBH = h_TBH = self._embedded(ids_TB)
        after: State = []
        recurrent_dropout = self.hyperparameters.recurrent_dropout if self.training else 0.0
        for index, layer in enumerate(self.layers):
            before = state[index] if state else None
            h_TBH, layer_state = run_layer(cast(nn.LSTM, layer), x_TBH, before, recurrent_dropout)
            x_TBH = dropout(h_TBH, self.hyperparameters.dropout, self.training)
            after.append(layer_state)
        return h_TBH, x_TBH, after

    def _embedded(self, ids_TB: Tensor) -> Tensor:
        if self.embedding is None:
            return one_hot(ids_TB, len(self.vocabulary)).float()
        if self.training and ids_TB.is_cuda and ids_TB.numel() > _MOST_LOOKED_UP:
            return one_hot(ids_TB, len(self.vocabulary)).float() @ self.embedding.weight
        return self.embedding(ids_TB)  # type: ignore[no-any-return]

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
            self._optimizer: torch.optim.Optimizer = torch.optim.AdamW(
                self.parameters(), weight_decay=hyperparameters.weight_decay, **adam_settings(rate, self.device)
            )
        else:
            self._optimizer = RMSprop(self.parameters(), device_rate(rate, self.device))
        # In float32, which holds bfloat16 exactly: the next step may compute in the other precision.
        self._carried: State = []
        if isinstance(self._reader, Streams):
            shapes = [(1, self._reader.streams, units) for units in hyperparameters.layers]
            self._carried = [
                (torch.zeros(shape, device=self.device), torch.zeros(shape, device=self.device)) for shape in shapes
            ]
        self._step = 0
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
        """The learning rate, and whether the carried state begins anew."""
        rate = self._rate()
        set_learning_rate(self._optimizer, rate)
        if batch.fresh:
            for part in chain.from_iterable(self._carried):
                part.zero_()
        self._step += 1
        return {"learning_rate": torch.tensor(rate)}

    def device_step(self, *tensors: Tensor) -> StepMetrics:
        """One step of truncated back-propagation through time."""
        inputs_TB, targets = tensors
        with self.autocast():
            h_TBH, x_TBH, state = self._read(inputs_TB, self._carried)
            logits = self.head(x_TBH[-1] if targets.dim() == 1 else x_TBH)
        loss = cross_entropy(logits.flatten(0, -2).float(), targets.flatten())
        self._optimizer.zero_grad()
        regularized = activation_penalty_gradients(
            h_TBH,
            x_TBH,
            small=self.hyperparameters.activation_regularization,
            slow=self.hyperparameters.temporal_activation_regularization,
        )
        roots, gradients = zip((loss, None), *regularized, strict=True)
        torch.autograd.backward(roots, gradients)
        if self.hyperparameters.clip_norm:
            nn.utils.clip_grad_norm_(self.parameters(), self.hyperparameters.clip_norm)
        self._optimizer.step()
        for kept, new in zip(chain.from_iterable(self._carried), chain.from_iterable(state), strict=False):
            kept.copy_(new.detach())
        return {"loss": loss.detach()}

    def _rate(self) -> float:
        hyperparameters = self.hyperparameters
        return learning_rate(
            hyperparameters.learning_rate,
            self._step,
            hyperparameters.epochs * self.steps_per_epoch(),
            warmup_steps=hyperparameters.warmup_steps,
            schedule=hyperparameters.schedule,
        )

    def training_state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Optimizer, carried state, and the step that the learning rate follows."""
        tensors = optimizer_tensors("optimizer", self._optimizer)
        for index, (h, c) in enumerate(self._carried):
            tensors |= {f"carried.{index}.h": h, f"carried.{index}.c": c}
        return tensors, {"step": self._step, "epoch": self._epoch}

    def load_training_state(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Undo `training_state`."""
        load_optimizer_tensors("optimizer", self._optimizer, tensors)
        for index, (h, c) in enumerate(self._carried):
            if f"carried.{index}.h" in tensors:  # earlier versions wrote none before the first step
                h.copy_(tensors[f"carried.{index}.h"])
                c.copy_(tensors[f"carried.{index}.c"])
        self._step, self._epoch = values["step"], values["epoch"]

    def health_checks(self) -> list[HealthCheck]:
        """An exploding loss, and learning by heart."""
        return [LossExploding(), Memorizing(), VerbatimCopy()]

    # --- looking at it ------------------------------------------------------------------------------------------

    def evaluate(self) -> dict[str, float]:
        """`bits_per_char` on held-out text; `val_loss` in nats, on the validation windows where there are some."""
        nats = self._held_out.cheap_nats(self)
        figures = {"val_loss": nats, "bits_per_char": nats / math.log(2)}
        if isinstance(self._reader, Windows):
            starts = self._reader.validation_starts(self._epoch)
            if len(starts):
                figures["val_loss"] = window_nats(self, self._training_N, starts)
        return figures

    def final_quality(self) -> dict[str, float]:
        """Figures on the whole held-out text, and how much of the training text the model repeats."""
        nats = self._held_out.nats(self)
        figures = {"val_loss": nats, "bits_per_char": nats / math.log(2), "perplexity": math.exp(nats)}
        return figures | overlaps(self, self._training_N, self._held_out.ids)

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
    ) -> Generated:
        """`n` texts that go on from the prompt, without the prompt itself."""
        check_sampling(self.hyperparameters, sampling, DatasetShape(kind="text"))
        prompt = sampling.prompt if sampling.prompt is not None else self.seed_text
        unknown = sorted(set(prompt) - set(self.vocabulary))
        if unknown:
            shown = " ".join(repr(character) for character in unknown[:20])
            detail = f"This model has never seen {shown}: remove such characters from the prompt."
            raise SpecError.at("/sampling/prompt", detail, "unknown_character")
        texts = CharacterSampler(self).texts(prompt, sampling, seed=seed)
        return Generated(texts=texts, meta={"prompt": prompt, "temperature": sampling.temperature})

    def onnx_graphs(self) -> list[OnnxGraph]:
        """One graph, of one step."""
        return [step_graph(self)]
