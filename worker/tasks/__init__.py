"""What a hint starts. Each module's `prepare` makes the task of its kind: claim the first due job, run it, finish."""
