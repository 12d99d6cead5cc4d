"""The embedded stack: every process of Mimeo on one machine, kept by supervisord, under one folder."""
