"""Registry entries of the texts."""

from shared.datasets.base import DatasetInfo, DatasetShape, Source

_PUBLISHED = "https://storage.googleapis.com/tfjs-examples/lstm-text-generation/data/"


def _published(name: str, title: str, file: str, vocabulary: int | None = None) -> DatasetInfo:
    """A corpus of the published text generator. Its publisher states no checksum."""
    return DatasetInfo(
        name=name,
        kind="text",
        title=title,
        license="public domain",
        shape=DatasetShape(kind="text", vocabulary=vocabulary),
        sources=(Source(path=f"text/{name}.txt", urls=(_PUBLISHED + file,)),),
    )


TEXTS = (
    DatasetInfo(
        name="shakespeare",
        kind="text",
        title="Plays of Shakespeare, 1.1 million characters",
        license="public domain",
        shape=DatasetShape(kind="text", examples=1_115_394, vocabulary=65),
        sources=(
            Source(
                path="text/shakespeare.txt",
                urls=("https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",),
                checksum="sha256:86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            ),
        ),
    ),
    _published("shakespeare-complete", "The complete works of Shakespeare", "t8.shakespeare.txt", 71),
    _published("nietzsche", "Nietzsche, Beyond Good and Evil, in English", "nietzsche.txt", 96),
    _published("jules-verne", "Novels of Jules Verne, in English", "t1.verne.txt"),
    DatasetInfo(
        name="python-source",
        kind="text",
        title="Source of the running interpreter's standard library, the first million characters or so",
        license="PSF-2.0",
        shape=DatasetShape(kind="text", examples=1_000_000, vocabulary=100),
        builtin=True,
    ),
)
