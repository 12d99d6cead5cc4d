"""What the figures of a final evaluation mean; docs/reference/quality.md says it at length."""

QUALITY: dict[str, str] = {
    "val_loss": "Loss on data that was kept out of training: nats per character (lstm), nats per image (vae).",
    "bits_per_char": "Bits per character of the whole held-out text.",
    "perplexity": "Equally likely characters that would surprise as much as the held-out text does.",
    "longest_overlap": "Characters of the longest passage that 20 written texts of 500 have from the training text.",
    "held_out_overlap": "The same of as much held-out text: the yardstick of `longest_overlap`.",
    "reconstruction": "Squared error of a test image, summed over its pixels.",
    "kl": "Divergence of a test image's latents from the prior, in nats.",
    "elbo": "Evidence lower bound, nats per test image, but for a constant: minus reconstruction minus kl.",
    "active_units": "Latent dimensions that tell test images apart.",
    "reconstruction_accuracy": "Share of real test images named right by a classifier of reconstructions.",
    "class_accuracy": "Share of generated images that an independent judge gives the class asked for.",
    "worst_class_accuracy": "The same of the class where it is least.",
    "judge_accuracy": "Share of real test images that the judge itself names right.",
    "classification_accuracy_score": "Share of real test images named right by a classifier of 20,000 generated ones.",
    "frechet_distance": "Distance between generated and real images in the judge's features; 0 is best.",
    "precision": "Share of generated images that lie among real ones.",
    "recall": "Share of real images that lie among generated ones.",
    "diversity": "How much images of a class differ, as a share of how much real ones do.",
    "lowest_diversity": "The same of the class where it is least.",
}
"""Figure to its meaning in one line."""
