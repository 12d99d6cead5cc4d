"""What can be done with jobs and what they make.

Functions take a session, return domain objects and never commit: the edge (a route, a task, the reconciler) owns the
transaction.
"""
