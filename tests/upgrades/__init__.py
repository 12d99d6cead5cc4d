"""Upgrades from the release before: a home that it wrote, and what its workers need of a newer schema."""
