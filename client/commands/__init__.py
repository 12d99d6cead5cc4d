"""The commands of `mimeo`, by subject."""
