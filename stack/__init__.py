"""The embedded stack: every process of Mimeo on one machine, supervised by supervisord, under one folder."""
