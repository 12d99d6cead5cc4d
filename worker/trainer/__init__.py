"""The trainer program, from specification to published checkpoint."""
