"""Metrics and quality figures of image models.

The evaluation classifier is a network trained on the real images of the dataset, independent of the model.
"""

from shared.model_types.base import Measure

LOSS = Measure(meaning="Training loss, in nats per image.", better="lower", is_headline=True)
VAL_LOSS = Measure(meaning="Loss of test images, in nats per image.", better="lower", is_headline=True)
RECONSTRUCTION = Measure(meaning="Squared error of an image, summed over its pixels.", better="lower")
KL = Measure(meaning="Divergence of an image's latent distribution from the prior, in nats.")
ELBO = Measure(
    meaning="Evidence lower bound in nats per test image, up to a constant: minus reconstruction minus kl.",
    better="higher",
    is_headline=True,
)
ACTIVE_UNITS = Measure(meaning="Number of latent dimensions that differ between test images.", better="higher")
RECONSTRUCTION_ACCURACY = Measure(
    meaning="Share of real test images that a classifier trained on reconstructions labels correctly.",
    better="higher",
    is_headline=True,
    bands=(0.75, 0.5),
)

DISCRIMINATOR_LOSS = Measure(meaning="Loss of the discriminator.", is_headline=True)
GENERATOR_LOSS = Measure(meaning="Loss of the generator.", is_headline=True)
REALNESS_ACCURACY = Measure(meaning="Share of real and generated images that the discriminator tells apart.")
CLASS_ACCURACY = Measure(
    meaning="Share of generated images that the evaluation classifier assigns to the requested class.",
    better="higher",
    is_headline=True,
    bands=(0.95, 0.8),
)
WORST_CLASS_ACCURACY = Measure(meaning="The lowest `class_accuracy` of one class.", better="higher", bands=(0.9, 0.6))
JUDGE_ACCURACY = Measure(meaning="Share of real test images that the evaluation classifier labels correctly.")
CLASSIFICATION_ACCURACY_SCORE = Measure(
    meaning="Share of real test images that a classifier trained on 20,000 generated images labels correctly.",
    better="higher",
    is_headline=True,
    bands=(0.9, 0.7),
)
FRECHET_DISTANCE = Measure(
    meaning="Fréchet distance between generated and real images in features of the evaluation classifier; 0 is best.",
    better="lower",
    is_headline=True,
)
PRECISION = Measure(
    meaning="Share of generated images that lie in the manifold of real images.", better="higher", bands=(0.75, 0.5)
)
RECALL = Measure(
    meaning="Share of real images that lie in the manifold of generated images.", better="higher", bands=(0.7, 0.4)
)
DIVERSITY = Measure(
    meaning="Mean distance between images of a class, as a share of the same distance of real images.",
    better="higher",
    bands=(0.9, 0.7),
)
LOWEST_DIVERSITY = Measure(meaning="The lowest `diversity` of one class.", better="higher", bands=(0.8, 0.5))
