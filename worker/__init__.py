"""Training and generation: everything that may import torch."""
