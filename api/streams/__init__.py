"""Live changes of jobs as server-sent events."""
