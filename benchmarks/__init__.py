"""Measurements of Mimeo. Each module is a command that prints the figures it measured."""
