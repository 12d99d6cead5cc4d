"""What an error of a remote store means: an outage, a missing bucket, or refused credentials."""

import errno

from shared.errors import MimeoError


class StorageUnavailable(OSError):
    """A remote store does not answer or cannot carry out the operation now. code: of the API's answer."""

    code = "unavailable"


class BucketMissing(StorageUnavailable):
    """The bucket of a remote store does not exist, which an operator can mend. Its files are not known to be lost."""

    code = "storage_bucket_missing"


class StorageDenied(StorageUnavailable):
    """A remote store refuses the credentials, which an operator can mend."""

    code = "storage_denied"


_TRANSIENT = {None, errno.EIO, errno.EBUSY, errno.EAGAIN}  # for example not for a full local disk
_WITHOUT_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"}


def meaning_of(error: Exception, bucket: str) -> StorageUnavailable | None:
    """The StorageUnavailable that an error of a library of object stores means, if it means one."""
    reason = str(error) or type(error).__name__
    if isinstance(error, PermissionError) or type(error).__name__ in _WITHOUT_CREDENTIALS:
        return StorageDenied(
            f"The object store refuses access ({reason}). Check the credentials, AWS_ACCESS_KEY_ID and "
            f"AWS_SECRET_ACCESS_KEY or their file, and their rights to list, read and write {bucket}."
        )
    answer = getattr(error.__cause__, "response", {}).get("Error", {})
    if isinstance(error, FileNotFoundError) and answer.get("Code") == "NoSuchBucket":
        return BucketMissing(f"The bucket {bucket} does not exist. Create it, or change MIMEO_STORAGE_URL.")
    return StorageUnavailable(reason) if _is_outage(error) else None


def _is_outage(error: Exception) -> bool:
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    if isinstance(error, FileNotFoundError | PermissionError | ValueError | MimeoError):
        return False
    return not isinstance(error, OSError) or error.errno in _TRANSIENT
