"""Auxiliary-classifier GAN."""
