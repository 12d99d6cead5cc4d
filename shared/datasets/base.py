"""The types of the dataset registry. Without torch, because the API imports them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

HELD_OUT_FRACTION = 0.1  # of a text: its contiguous end, which is never trained on


@dataclass(frozen=True, kw_only=True)
class DatasetShape:
    """Numbers of a dataset that memory estimates and bounds need; unknown ones are None.

    kind: `images`, `text`, or another kind that a model type declares. examples: images, or characters of text.
    training_examples: of them those for training, without the ones for tests.
    height, width, channels, classes: of images. vocabulary: distinct characters.
    """

    kind: str
    examples: int | None = None
    training_examples: int | None = None
    height: int = 28
    width: int = 28
    channels: int = 1
    classes: int | None = None
    vocabulary: int | None = None

    @property
    def test_examples(self) -> int | None:
        """Examples for tests."""
        if self.examples is None or self.training_examples is None:
            return None
        return self.examples - self.training_examples


@dataclass(frozen=True, kw_only=True)
class Source:
    """One download.

    path: destination, relative to the datasets folder. urls: tried in order. checksum: `sha256:…` or `md5:…` of the
    download; None: that of the first download is recorded and later ones are compared with it. files: the unpacked
    files, relative to the datasets folder; empty when the download is used as it is.
    """

    path: str
    urls: tuple[str, ...] = ()
    checksum: str | None = None
    files: tuple[str, ...] = ()

    @property
    def results(self) -> tuple[str, ...]:
        """The files that readers open."""
        return self.files or (self.path,)


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """One entry of the registry.

    builtin: generated from installed software, so always available and without files.
    reader: class of `torchvision.datasets` with the images as one array. train, test: its arguments for each part.
    transposed: images are stored with rows and columns exchanged. first_label: the smallest stored label.
    """

    name: str
    kind: str
    title: str
    license: str
    shape: DatasetShape
    sources: tuple[Source, ...] = ()
    class_names: tuple[str, ...] = ()
    builtin: bool = False
    reader: str = ""
    train: Mapping[str, object] = field(default_factory=lambda: {"train": True})
    test: Mapping[str, object] = field(default_factory=lambda: {"train": False})
    transposed: bool = False
    first_label: int = 0

    @property
    def files(self) -> tuple[str, ...]:
        """The files that readers open, relative to the datasets folder: torchvision's layout, or `text/NAME.txt`."""
        return tuple(path for source in self.sources for path in source.results)

    @property
    def downloadable(self) -> bool:
        """Whether every source has an address."""
        return bool(self.sources) and all(source.urls for source in self.sources)
