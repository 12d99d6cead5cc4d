"""Operations on jobs and their results.

Functions take a session, return domain objects and never commit. The caller (a route, a task, the reconciler) has the
transaction.
"""
