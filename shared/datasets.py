"""The datasets Mimeo knows by name: where their files belong and come from. Without torch, as the API lists them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shared.model_types.base import DatasetShape

DIGIT_NAMES = tuple("0123456789")
CLOTHES = ("T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
HIRAGANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")


@dataclass(frozen=True, kw_only=True)
class DatasetFile:
    """One file of a dataset.

    path: relative to the datasets folder, as it is used. urls: where to get it, tried in order; one that ends in `.gz`
    gives the file compressed. sha256: of what the URLs give, checked after a download.
    """

    path: str
    urls: tuple[str, ...] = ()
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """One line of the registry.

    builtin: made on the spot from installed software, so always there and never a file.
    """

    name: str
    kind: Literal["images", "text"]
    title: str
    license: str
    shape: DatasetShape
    files: tuple[DatasetFile, ...] = ()
    class_names: tuple[str, ...] = ()
    builtin: bool = False

    @property
    def downloadable(self) -> bool:
        """Whether every file has an address and a checksum."""
        return bool(self.files) and all(file.urls and file.sha256 for file in self.files)


def _idx_files(folder: str, bases: tuple[str, ...], checksums: tuple[str, str, str, str]) -> tuple[DatasetFile, ...]:
    """The four files of an MNIST-like dataset, in torchvision's layout."""
    names = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    return tuple(
        DatasetFile(path=f"{folder}/raw/{name}", urls=tuple(f"{base}{name}.gz" for base in bases), sha256=checksum)
        for name, checksum in zip(names, checksums, strict=True)
    )


_MNIST_SHAPE = DatasetShape(kind="images", examples=70_000, classes=10)

_DATASETS = (
    DatasetInfo(
        name="mnist",
        kind="images",
        title="MNIST: 70,000 handwritten digits (LeCun, Cortes, Burges)",
        license="CC BY-SA 3.0",
        shape=_MNIST_SHAPE,
        class_names=DIGIT_NAMES,
        files=_idx_files(
            "MNIST",
            ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
            (
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
        ),
    ),
    DatasetInfo(
        name="fashion-mnist",
        kind="images",
        title="Fashion-MNIST: 70,000 articles of clothing (Xiao, Rasul, Vollgraf 2017)",
        license="MIT",
        shape=_MNIST_SHAPE,
        class_names=CLOTHES,
        files=_idx_files(
            "FashionMNIST",
            ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
            (
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            ),
        ),
    ),
    DatasetInfo(
        name="kmnist",
        kind="images",
        title="Kuzushiji-MNIST: 70,000 cursive Japanese characters (Clanuwat et al. 2018)",
        license="CC BY-SA 4.0",
        shape=_MNIST_SHAPE,
        class_names=HIRAGANA,
        files=_idx_files(
            "KMNIST",
            ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
            (
                "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
                "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
                "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
                "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
            ),
        ),
    ),
    DatasetInfo(
        name="shakespeare",
        kind="text",
        title="Plays of Shakespeare, 1.1 million characters",
        license="public domain",
        shape=DatasetShape(kind="text", examples=1_115_394, vocabulary=65),
        files=(
            DatasetFile(
                path="text/shakespeare.txt",
                urls=("https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",),
                sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            ),
        ),
    ),
    DatasetInfo(
        name="nietzsche",
        kind="text",
        title="Nietzsche, Beyond Good and Evil, in English",
        license="public domain",
        shape=DatasetShape(kind="text", vocabulary=96),
        files=(DatasetFile(path="text/nietzsche.txt"),),
    ),
    DatasetInfo(
        name="digits",
        kind="images",
        title="1,797 handwritten digits of the UCI repository (Alpaydin and Kaynak), enlarged from 8×8 to 28×28",
        license="CC BY 4.0",
        shape=DatasetShape(kind="images", examples=1797, classes=10),
        class_names=DIGIT_NAMES,
        builtin=True,
    ),
    DatasetInfo(
        name="python-source",
        kind="text",
        title="Source of the running interpreter's standard library, the first million characters or so",
        license="PSF-2.0",
        shape=DatasetShape(kind="text", examples=1_100_000, vocabulary=100),
        builtin=True,
    ),
)

REGISTRY: dict[str, DatasetInfo] = {info.name: info for info in _DATASETS}


def locate(info: DatasetInfo, folders: tuple[Path | None, ...]) -> list[Path] | None:
    """The files of a dataset in the first of the folders that has them all, or None.

    folders: in order of preference (`Settings.datasets_dir`, `Settings.downloads_path`); None entries are skipped.
    A builtin dataset has no files and is always there: [].
    """
    if info.builtin:
        return []
    for folder in folders:
        if folder is None:
            continue
        paths = [folder / file.path for file in info.files]
        if all(path.is_file() for path in paths):
            return paths
    return None


def availability(info: DatasetInfo, folders: tuple[Path | None, ...], *, offline: bool) -> str:
    """`builtin`, `present`, `downloadable` (fetched when first used) or `missing` (has to be put there by hand)."""
    if info.builtin:
        return "builtin"
    if locate(info, folders) is not None:
        return "present"
    return "downloadable" if info.downloadable and not offline else "missing"
