"""Backup and restore: the rows of the database, and the files in storage that they name."""
