"""Create the bucket of MIMEO_STORAGE_URL where it does not exist. Exit 2 with one line on failure."""

import sys

import s3fs
from pydantic import ValidationError

from shared.errors import SetupError
from shared.settings import Settings, reason


def main() -> int:
    """Create it. Returns the exit status of the process."""
    try:
        settings = Settings()
    except (SetupError, ValidationError) as error:
        print(f"mimeo: {reason(error)}", file=sys.stderr)
        return 2
    scheme, _, path = settings.resolved_storage_url.partition("://")
    bucket = path.split("/")[0]
    if scheme != "s3" or not bucket:
        print("mimeo: MIMEO_STORAGE_URL must be s3://BUCKET/PREFIX for the profile s3", file=sys.stderr)
        return 2
    try:
        store = s3fs.S3FileSystem()
        if not store.exists(bucket):
            store.mkdir(bucket)
    except Exception as error:  # noqa: BLE001  botocore, aiohttp and s3fs each raise their own
        print(f"mimeo: the bucket {bucket} cannot be created: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    print(f"the bucket {bucket} exists")
    return 0


if __name__ == "__main__":
    sys.exit(main())
