"""Running one job under a lease: the child process, the lease's heartbeat, and what is recorded."""
