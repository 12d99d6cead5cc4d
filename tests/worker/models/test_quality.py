"""Figures of the final evaluation, each against a slow computation or a case with a known result."""

import math
import random
import time
from pathlib import Path

import pytest
import torch

from shared import model_types
from shared.model_types.lstm import LstmHyperparameters
from shared.model_types.vae import VaeHyperparameters
from tests.worker.models.conftest import build, builtin, real_datasets, train
from worker.data import ImageDataset, TextCorpus, load
from worker.models.evaluation import accuracy_score as scoring
from worker.models.evaluation.accuracy_score import classifier_score
from worker.models.evaluation.memorization import longest_overlap, spread
from worker.models.lstm.model import Lstm
from worker.models.vae.model import Vae
from worker.seeding import generator


@pytest.fixture
def digits() -> ImageDataset:
    dataset = builtin(model_types.get("vae"))
    assert isinstance(dataset, ImageDataset)
    return dataset


# --- text -----------------------------------------------------------------------------------------------------------


def test_longest_overlap_equals_a_search_of_all_substrings() -> None:
    rng = random.Random(1)
    for _ in range(500):
        alphabet = rng.choice(["ab", "abcd"])
        passages = ["".join(rng.choices(alphabet, k=rng.randint(0, 12))) for _ in range(rng.randint(1, 4))]
        text = "".join(rng.choices(alphabet, k=rng.randint(0, 20)))
        pieces = {p[start:end] for p in passages for start in range(len(p)) for end in range(start + 1, len(p) + 1)}

        assert longest_overlap(passages, text) == max((len(piece) for piece in pieces if piece in text), default=0)


def test_overlap_does_not_extend_across_two_passages() -> None:
    assert longest_overlap(["abc", "def"], "abcdef") == 3


def test_copied_passage_is_found_in_a_million_characters() -> None:
    rng = random.Random(2)
    text = "".join(rng.choices("abcdefghij", k=1_000_000))
    passages = ["".join(rng.choices("abcdefghij", k=500)) for _ in range(19)]
    began = time.process_time()

    found = longest_overlap([*passages, text[700_000:700_120] + "x" * 380], text)

    assert found == 120
    assert time.process_time() - began < 5


def test_passages_are_spread_over_the_whole_text() -> None:
    assert spread("abcdefghij", count=3, length=2) == ["ab", "ef", "ij"]
    assert spread("abcdef", count=9, length=3) == ["abc", "def"]
    assert spread("ab", count=3, length=5) == ["ab"]


def test_overfitted_model_repeats_its_text_and_an_untrained_one_does_not() -> None:
    rng = random.Random(3)
    verse = "".join(rng.choices("abcdefghijklmnop ", k=120))
    rest = "".join(rng.choices("abcdefghijklmnop ", k=400))  # validation text: similar to the verse, but no copy
    corpus = TextCorpus("verse", verse * 30 + rest)
    hyperparameters = LstmHyperparameters(
        layers=(64,), batch_size=8, window=32, dropout=0.0, epochs=4, warmup_steps=0, learning_rate=1e-2
    )
    torch.manual_seed(0)
    model = Lstm.for_data(hyperparameters.model_copy(update={"examples_per_epoch": 256 * 50}), corpus)
    model.start_training(corpus, seed=1)
    before = model.final_quality()
    train(model, 0, 200)
    after = model.final_quality()

    assert before["longest_overlap"] < 10
    assert after["longest_overlap"] >= 300
    assert before["held_out_overlap"] == after["held_out_overlap"] < 10


def test_validation_nats_equal_those_of_character_by_character_evaluation() -> None:
    text = load("python-source", datasets_dir=None, home=Path(), offline=True).text[:3000]  # type: ignore[union-attr]
    corpus = TextCorpus("short", text)
    torch.manual_seed(0)
    model = Lstm.for_data(LstmHyperparameters(layers=(12, 8), window=20, dropout=0.0, batch_size=4), corpus).eval()
    model.start_training(corpus, seed=1)
    ids = corpus.ids.long().tolist()[corpus.split - 64 :]
    streams = (len(ids) - 65) // 64
    length = (len(ids) - 65) // streams
    nats = []
    with torch.no_grad():
        for stream in range(streams):
            state = None
            for place in range(stream * length, stream * length + 64 + length):
                logits, state = model(torch.tensor([[ids[place]]]), state)
                if place >= stream * length + 64:
                    nats.append(-float(logits[0, 0].double().log_softmax(dim=0)[ids[place + 1]]))

    quality = model.final_quality()

    mean = math.fsum(nats) / len(nats)
    assert len(nats) > 200
    assert quality["val_loss"] == pytest.approx(mean, abs=1e-5)
    assert quality["bits_per_char"] == pytest.approx(mean / math.log(2), abs=1e-5)
    assert quality["perplexity"] == pytest.approx(2 ** quality["bits_per_char"], rel=1e-6)


# --- VAE --------------------------------------------------------------------------------------------------------------


def test_evidence_bound_equals_a_sum_over_images_and_pixels(digits: ImageDataset) -> None:
    model = build("vae")
    assert isinstance(model, Vae)
    train(model, 0, 3)
    noise = torch.randn(len(digits.test_images), 2, generator=generator(0))
    squared, divergence = [], []
    with torch.no_grad():
        for image, epsilon in zip(digits.test_images, noise, strict=True):
            pixels = image.flatten().double() / 255
            mean, log_var = (part[0].double() for part in model.encode(pixels.float()[None]))
            decoded = model.decode((mean + (log_var / 2).exp() * epsilon).float()[None])[0].double()
            squared.append(sum((decoded - pixels).square().tolist()))
            divergence.append(0.5 * sum((mean.square() + log_var.exp() - 1 - log_var).tolist()))

    quality = model.final_quality()

    assert quality["reconstruction"] == pytest.approx(math.fsum(squared) / len(squared), rel=1e-4)
    assert quality["kl"] == pytest.approx(math.fsum(divergence) / len(divergence), rel=1e-4)
    assert quality["elbo"] == pytest.approx(-quality["reconstruction"] - quality["kl"])


def test_constant_latent_dimension_is_not_active(digits: ImageDataset) -> None:
    model = Vae.for_data(VaeHyperparameters(hidden=(32,), latent_size=3), digits)
    model.start_training(digits, seed=1)
    head = model.encoder[-1]
    with torch.no_grad():
        head.weight.mul_(20)
        head.weight[1].zero_()

    assert model.final_quality()["active_units"] == 2


def test_classifier_learns_from_good_reconstructions_and_not_from_those_of_an_untrained_model(
    digits: ImageDataset,
) -> None:
    untrained, trained = (build("vae", latent_size=16, hidden=(128,), examples_per_epoch=3200) for _ in range(2))
    train(trained, 0, 150)

    assert untrained.final_quality()["reconstruction_accuracy"] < 0.5
    assert trained.final_quality()["reconstruction_accuracy"] > 0.8


# --- images -----------------------------------------------------------------------------------------------------------


def test_classifier_learns_more_from_real_images_than_from_repeated_or_mislabelled_ones(digits: ImageDataset) -> None:
    images, labels = digits.train_images, digits.train_labels
    collapsed = torch.stack([images[labels == label][0] for label in labels])

    real = classifier_score(images, labels, digits)

    assert real > 0.9
    assert classifier_score(collapsed, labels, digits) < real - 0.2
    assert classifier_score(images, labels.roll(1), digits) < 0.4


def test_classifier_score_is_deterministic_and_leaves_the_random_state_unchanged(digits: ImageDataset) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)

    first = classifier_score(digits.train_images, digits.train_labels, digits)

    assert torch.equal(torch.rand(3), expected)
    assert classifier_score(digits.train_images, digits.train_labels, digits) == first


@pytest.mark.slow
def test_twenty_thousand_real_digits_score_98_percent(tmp_path: Path) -> None:
    dataset = load("mnist", datasets_dir=real_datasets(), home=tmp_path, offline=True)
    assert isinstance(dataset, ImageDataset)
    count = scoring.TRAINING_IMAGES

    assert classifier_score(dataset.train_images[:count], dataset.train_labels[:count], dataset) > 0.98
