"""The commands of `mimeo`, a file for each thing they are about."""
