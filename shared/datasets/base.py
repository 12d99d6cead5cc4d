"""What the registry says of a dataset. Without torch, as the API lists datasets too."""

from collections.abc import Mapping
from dataclasses import dataclass, field

HELD_OUT_FRACTION = 0.1  # of a text: its contiguous end, never trained on


@dataclass(frozen=True, kw_only=True)
class DatasetShape:
    """Numbers of a dataset that memory estimates and bounds need; unknown ones are None.

    kind: `images`, `text`, or what a further model type reads. examples: images, or characters of text. height, width,
    channels, classes: of images. vocabulary: distinct characters.
    """

    kind: str
    examples: int | None = None
    height: int = 28
    width: int = 28
    channels: int = 1
    classes: int | None = None
    vocabulary: int | None = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """One download.

    path: where it is put, relative to the datasets folder. urls: tried in order. checksum: `sha256:…` or `md5:…` of the
    download; None: the first download's is recorded and later ones are compared with it. files: what it is unpacked
    to, relative to the datasets folder; empty where it is used as it is.
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
    """One line of the registry.

    builtin: made on the spot from installed software, so always there and never a file.
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
        """What readers open, relative to the datasets folder: torchvision's layout, or `text/NAME.txt`."""
        return tuple(path for source in self.sources for path in source.results)

    @property
    def downloadable(self) -> bool:
        """Whether every source has an address."""
        return bool(self.sources) and all(source.urls for source in self.sources)
