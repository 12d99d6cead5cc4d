"""Registry entries of the image datasets. Addresses and MD5 checksums are those of `torchvision.datasets`."""

from shared.datasets.base import DatasetInfo, DatasetShape, Source
from shared.datasets.class_names import BALANCED, CIFAR10, CIFAR100, CLOTHES, DIGITS, HIRAGANA, LETTERS

IDX_NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta")


def _idx(folder: str, bases: tuple[str, ...], *checksums: str) -> tuple[Source, ...]:
    """The four files of an MNIST-like dataset, each compressed on its own."""
    return tuple(
        Source(
            path=f"{folder}/raw/{name}.gz",
            urls=tuple(f"{base}{name}.gz" for base in bases),
            checksum=checksum,
            files=(f"{folder}/raw/{name}",),
        )
        for name, checksum in zip(IDX_NAMES, checksums, strict=True)
    )


def _emnist(split: str) -> tuple[Source, ...]:
    """One archive with every split, of which the four files of this split are unpacked."""
    parts = ("train-images-idx3", "train-labels-idx1", "test-images-idx3", "test-labels-idx1")
    return (
        Source(
            path="EMNIST/raw/gzip.zip",
            urls=("https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip",),
            checksum="md5:58c8d27c78d21e728a6bc7b3cc06412e",
            files=tuple(f"EMNIST/raw/emnist-{split}-{part}-ubyte" for part in parts),
        ),
    )


def _qmnist(*files: tuple[str, str]) -> tuple[Source, ...]:
    base = "https://raw.githubusercontent.com/facebookresearch/qmnist/master/"
    return tuple(
        Source(
            path=f"QMNIST/raw/{name}.gz",
            urls=(f"{base}{name}.gz",),
            checksum=checksum,
            files=(f"QMNIST/raw/{name}",),
        )
        for name, checksum in files
    )


def _plain(base: str, *files: tuple[str, str]) -> tuple[Source, ...]:
    """Files that are read without unpacking."""
    return tuple(Source(path=name, urls=(base + name,), checksum=checksum) for name, checksum in files)


def _cifar(archive: str, checksum: str, folder: str, names: tuple[str, ...]) -> tuple[Source, ...]:
    url = f"https://www.cs.toronto.edu/~kriz/{archive}"
    files = tuple(f"{folder}/{name}" for name in names)
    return (Source(path=archive, urls=(url,), checksum=checksum, files=files),)


def _shape(training: int, test: int, classes: int, size: int = 28, channels: int = 1) -> DatasetShape:
    return DatasetShape(
        kind="images",
        examples=training + test,
        training_examples=training,
        height=size,
        width=size,
        channels=channels,
        classes=classes,
    )


IMAGES = (
    DatasetInfo(
        name="mnist",
        kind="images",
        title="MNIST: 70,000 handwritten digits (LeCun, Cortes, Burges)",
        license="CC BY-SA 3.0",
        shape=_shape(60_000, 10_000, 10),
        class_names=DIGITS,
        reader="MNIST",
        sources=_idx(
            "MNIST",
            ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
            "sha256:440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "sha256:3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "sha256:8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "sha256:f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
    DatasetInfo(
        name="fashion-mnist",
        kind="images",
        title="Fashion-MNIST: 70,000 articles of clothing (Xiao, Rasul, Vollgraf 2017)",
        license="MIT",
        shape=_shape(60_000, 10_000, 10),
        class_names=CLOTHES,
        reader="FashionMNIST",
        sources=_idx(
            "FashionMNIST",
            ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
            "sha256:3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "sha256:a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "sha256:346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "sha256:67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ),
    DatasetInfo(
        name="kmnist",
        kind="images",
        title="Kuzushiji-MNIST: 70,000 cursive Japanese characters (Clanuwat et al. 2018)",
        license="CC BY-SA 4.0",
        shape=_shape(60_000, 10_000, 10),
        class_names=HIRAGANA,
        reader="KMNIST",
        sources=_idx(
            "KMNIST",
            ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
            "sha256:51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
            "sha256:e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
            "sha256:edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
            "sha256:20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
        ),
    ),
    DatasetInfo(
        name="emnist-letters",
        kind="images",
        title="EMNIST Letters: 145,600 handwritten letters, both cases of a letter as one class (Cohen et al. 2017)",
        license="not stated",
        shape=_shape(124_800, 20_800, 26),
        class_names=LETTERS,
        reader="EMNIST",
        train={"split": "letters", "train": True},
        test={"split": "letters", "train": False},
        transposed=True,
        first_label=1,
        sources=_emnist("letters"),
    ),
    DatasetInfo(
        name="emnist-balanced",
        kind="images",
        title="EMNIST Balanced: 131,600 handwritten digits and letters in 47 classes (Cohen et al. 2017)",
        license="not stated",
        shape=_shape(112_800, 18_800, 47),
        class_names=BALANCED,
        reader="EMNIST",
        train={"split": "balanced", "train": True},
        test={"split": "balanced", "train": False},
        transposed=True,
        sources=_emnist("balanced"),
    ),
    DatasetInfo(
        name="qmnist",
        kind="images",
        title="QMNIST: MNIST reconstructed from NIST's forms, with all 60,000 test digits (Yadav and Bottou 2019)",
        license="BSD-3-Clause",
        shape=_shape(60_000, 60_000, 10),
        class_names=DIGITS,
        reader="QMNIST",
        train={"what": "train"},
        test={"what": "test"},
        sources=_qmnist(
            ("qmnist-train-images-idx3-ubyte", "md5:ed72d4157d28c017586c42bc6afe6370"),
            ("qmnist-train-labels-idx2-int", "md5:0058f8dd561b90ffdd0f734c6a30e5e4"),
            ("qmnist-test-images-idx3-ubyte", "md5:1394631089c404de565df7b7aeaf9412"),
            ("qmnist-test-labels-idx2-int", "md5:5b5b05890a5e13444e108efe57b788aa"),
        ),
    ),
    DatasetInfo(
        name="usps",
        kind="images",
        title="USPS: 9,298 digits from envelopes, 16×16 (Hull 1994)",
        license="not stated",
        shape=_shape(7_291, 2_007, 10, size=16),
        class_names=DIGITS,
        reader="USPS",
        sources=_plain(
            "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass/",
            ("usps.bz2", "md5:ec16c51db3855ca6c91edd34d0e9b197"),
            ("usps.t.bz2", "md5:8ea070ee2aca1ac39742fdd1ef5ed118"),
        ),
    ),
    DatasetInfo(
        name="svhn",
        kind="images",
        title="SVHN: 99,289 digits of house numbers in colour, 32×32 (Netzer et al. 2011)",
        license="non-commercial use",
        shape=_shape(73_257, 26_032, 10, size=32, channels=3),
        class_names=DIGITS,
        reader="SVHN",
        train={"split": "train"},
        test={"split": "test"},
        sources=_plain(
            "http://ufldl.stanford.edu/housenumbers/",
            ("train_32x32.mat", "md5:e26dedcc434d2e4c54c9b2d4a06d8373"),
            ("test_32x32.mat", "md5:eb5a983be6a315427106f1b164d9cef3"),
        ),
    ),
    DatasetInfo(
        name="cifar10",
        kind="images",
        title="CIFAR-10: 60,000 colour photographs in 10 classes, 32×32 (Krizhevsky 2009)",
        license="not stated",
        shape=_shape(50_000, 10_000, 10, size=32, channels=3),
        class_names=CIFAR10,
        reader="CIFAR10",
        sources=_cifar(
            "cifar-10-python.tar.gz", "md5:c58f30108f718f92721af3b95e74349a", "cifar-10-batches-py", _BATCHES
        ),
    ),
    DatasetInfo(
        name="cifar100",
        kind="images",
        title="CIFAR-100: 60,000 colour photographs in 100 classes, 32×32 (Krizhevsky 2009)",
        license="not stated",
        shape=_shape(50_000, 10_000, 100, size=32, channels=3),
        class_names=CIFAR100,
        reader="CIFAR100",
        sources=_cifar(
            "cifar-100-python.tar.gz",
            "md5:eb9058c3a382ffc7106e4002c42a8d85",
            "cifar-100-python",
            ("train", "test", "meta"),
        ),
    ),
    DatasetInfo(
        name="digits",
        kind="images",
        title="1,797 handwritten digits of the UCI repository (Alpaydin and Kaynak), enlarged from 8×8 to 28×28",
        license="CC BY 4.0",
        shape=_shape(1438, 359, 10),
        class_names=DIGITS,
        builtin=True,
    ),
)
