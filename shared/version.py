"""The installed version."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("mimeo")
except PackageNotFoundError:  # a checkout without installation
    VERSION = "0+unknown"
