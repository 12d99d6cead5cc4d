"""Tasks that a notification starts. `prepare` makes the task: claim the first due job, run it, finish."""
