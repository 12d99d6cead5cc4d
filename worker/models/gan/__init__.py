"""Generative adversarial network without classes."""
