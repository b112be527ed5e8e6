"""Data sets from files, shuffled batches, augmentation."""

import gzip
import math
import os
import pickle
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from lnegeom import InputError  # noqa: E402
from lnegeom_torch.data import (  # noqa: E402
    DataNotFoundError,
    Dataset,
    batches,
    crop_and_flip,
    load,
)

REAL = Path(os.environ.get("LNEGEOM_DATA") or Path(__file__).parents[3] / "shared" / "data")
RNG = np.random.default_rng(0)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def standardised(train, test):
    """Oracle in float64, images (N, C, H, W)."""
    mean, deviation = train.mean((0, 2, 3), keepdims=True), train.std((0, 2, 3), keepdims=True)
    return (train - mean) / deviation, (test - mean) / deviation


# --- MNIST -----------------------------------------------------------------------------------------------


def idx(array):
    return struct.pack(f">BBBB{array.ndim}i", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_mnist(folder, zipped=True):
    folder.mkdir(parents=True)
    arrays = {
        "train-images-idx3-ubyte": RNG.integers(0, 256, (12, 5, 5), dtype=np.uint8),
        "train-labels-idx1-ubyte": np.arange(12, dtype=np.uint8) % 10,
        "t10k-images-idx3-ubyte": RNG.integers(0, 256, (3, 5, 5), dtype=np.uint8),
        "t10k-labels-idx1-ubyte": np.array([9, 0, 4], dtype=np.uint8),
    }
    for name, array in arrays.items():
        content = idx(array)
        (folder / (name + ".gz" if zipped else name)).write_bytes(
            gzip.compress(content) if zipped else content
        )
    return arrays


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("place", ["MNIST/raw", "raw", "."])
def test_mnist_is_read_and_standardised_from_any_of_its_folders(tmp_path, place, zipped):
    arrays = write_mnist(tmp_path / "root" / place, zipped)
    data = load("mnist", str(tmp_path / "root"))
    train, test = standardised(
        arrays["train-images-idx3-ubyte"][:, None] / 255, arrays["t10k-images-idx3-ubyte"][:, None] / 255
    )
    np.testing.assert_allclose(data.train_images.numpy(), train, rtol=0, atol=2e-6)
    np.testing.assert_allclose(data.test_images.numpy(), test, rtol=0, atol=2e-6)
    assert data.train_images.dtype == torch.float32
    assert data.train_labels.tolist() == arrays["train-labels-idx1-ubyte"].tolist()
    assert data.test_labels.tolist() == [9, 0, 4]
    assert (data.name, data.classes, data.channels, data.image_size, data.augment) == (
        "mnist",
        10,
        1,
        5,
        False,
    )


LABELS = np.arange(12, dtype=np.uint8) % 10


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(idx(LABELS))[:-9], "not a whole gzip file"),
        (b"<html>not found</html>", "not a whole gzip file"),
        (gzip.compress(b""), "begin with"),
        (gzip.compress(idx(LABELS)[:6]), "begin with"),
        (gzip.compress(idx(LABELS.astype(">i2")).replace(b"\x08", b"\x0b", 1)), "begin with"),
        (gzip.compress(idx(LABELS)[:-1]), "got 11"),
        (gzip.compress(idx(LABELS) + b"\0"), "got 13"),
        (gzip.compress(struct.pack(">BBBBi", 0, 0, 8, 1, -12)), "bytes after the header"),
        (gzip.compress(idx(LABELS[:11])), "train labels: expected int64"),
        (gzip.compress(idx(LABELS + 1)), "expected 0 to 9"),
    ],
    # gzip writes the time of day: in the tests' names it would differ between two workers.
    ids=[
        "cut",
        "html",
        "empty",
        "short-header",
        "wide-labels",
        "one-less",
        "one-more",
        "negative",
        "few",
        "ten",
    ],
)
def test_damaged_idx_file_is_named(tmp_path, content, message):
    write_mnist(tmp_path / "raw")
    (tmp_path / "raw" / "train-labels-idx1-ubyte.gz").write_bytes(content)
    with pytest.raises(InputError, match=message):
        load("mnist", tmp_path)


@pytest.mark.parametrize("sizes", [(-12, -5, 5), (0, 5, 5)])
def test_idx_sizes_must_be_positive(tmp_path, sizes):
    """Two negative sizes multiply to a plausible length."""
    write_mnist(tmp_path / "raw")
    content = struct.pack(">BBBB3i", 0, 0, 8, 3, *sizes) + bytes(math.prod(sizes))
    (tmp_path / "raw" / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(content))
    with pytest.raises(InputError, match=r"train-images-idx3-ubyte\.gz is damaged"):
        load("mnist", tmp_path)


# --- CIFAR-10 --------------------------------------------------------------------------------------------

FILES = [f"data_batch_{batch}" for batch in range(1, 6)] + ["test_batch"]


def write_cifar(folder, dump):
    folder.mkdir(parents=True)
    pixels = {name: RNG.integers(0, 256, (2, 3072), dtype=np.uint8) for name in FILES}
    for index, (name, array) in enumerate(pixels.items()):
        (folder / name).write_bytes(dump(array, [index, 9 - index]))
    return pixels


def python2(array, labels):
    """The opcodes of the official files: Python 2 strings, numpy's old module names, flags as integers."""
    head = b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    shape = b"(K\x01K" + bytes([len(array)]) + b"M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
    state = b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T" + struct.pack("<i", array.size)
    numbers = b"".join(b"K" + bytes([label]) for label in labels)
    return head + shape + state + array.tobytes() + b"tbU\x06labels](" + numbers + b"eu."


def python3(protocol, order="C", text=False):
    keys = ("data", "labels") if text else (b"data", b"labels")
    return lambda array, labels: pickle.dumps(
        dict(zip(keys, (np.asarray(array, order=order), labels), strict=True)), protocol
    )


@pytest.mark.parametrize(
    "dump",
    [
        python2,
        python3(0),
        python3(2),
        python3(4),
        python3(5),
        python3(4, "F"),
        python3(5, "F"),
        python3(4, text=True),
    ],
)
@pytest.mark.parametrize("place", ["cifar-10-batches-py", "."])
def test_cifar10_is_read_and_standardised_from_any_pickle(tmp_path, place, dump):
    pixels = write_cifar(tmp_path / "root" / place, dump)
    data = load("cifar10", tmp_path / "root")
    stacked = [np.concatenate([pixels[name] for name in names]) for names in (FILES[:5], FILES[5:])]
    train, test = standardised(*(part.reshape(-1, 3, 32, 32) / 255 for part in stacked))
    np.testing.assert_allclose(data.train_images.numpy(), train, rtol=0, atol=2e-6)
    np.testing.assert_allclose(data.test_images.numpy(), test, rtol=0, atol=2e-6)
    assert data.train_labels.tolist() == [0, 9, 1, 8, 2, 7, 3, 6, 4, 5]
    assert data.test_labels.tolist() == [5, 4]
    assert (data.classes, data.channels, data.image_size, data.augment) == (10, 3, 32, True)


@pytest.mark.parametrize("place", ["cifar-100-python", "."])
def test_cifar100_is_read_with_its_fine_labels(tmp_path, place):
    folder = tmp_path / "root" / place
    folder.mkdir(parents=True)
    pixels = {name: RNG.integers(0, 256, (3, 3072), dtype=np.uint8) for name in ("train", "test")}
    for name, array in pixels.items():
        fields = {
            b"data": array,
            b"fine_labels": [99, 0, 7],
            b"coarse_labels": [1, 2, 3],
            b"filenames": [b"a"],
        }
        (folder / name).write_bytes(pickle.dumps(fields, 2))
    data = load("cifar100", tmp_path / "root")
    train, _ = standardised(*(part.reshape(-1, 3, 32, 32) / 255 for part in pixels.values()))
    np.testing.assert_allclose(data.train_images.numpy(), train, rtol=0, atol=2e-6)
    assert data.train_labels.tolist() == data.test_labels.tolist() == [99, 0, 7]
    assert (data.name, data.classes, data.augment) == ("cifar100", 100, True)
    with pytest.raises(DataNotFoundError, match="cifar100: looked for cifar-100-python/train in"):
        load("cifar100", tmp_path / "nowhere")


class Calls:
    """Pickles as a call, to be made by whoever loads it."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("wrap", [lambda evil: evil, lambda evil: {b"data": evil, b"labels": [0]}])
@pytest.mark.parametrize(
    "make",
    [lambda path: Calls(os.mkdir, path), lambda path: Calls(eval, f"__import__('os').mkdir({path!r})")],
)
def test_pickle_that_asks_for_a_call_is_refused_and_does_nothing(tmp_path, make, wrap):
    trap = str(tmp_path / "trap")
    write_cifar(tmp_path / "root", python3(4))
    content = pickle.dumps(wrap(make(trap)))
    (tmp_path / "root" / "data_batch_3").write_bytes(content)
    with pytest.raises(InputError, match=r"refused a pickle that asks for \w+\.\w+"):
        load("cifar10", tmp_path / "root")
    assert not os.path.exists(trap)
    pickle.loads(content)  # the trap does spring for an ordinary unpickler
    assert os.path.exists(trap)


def test_pickle_may_not_reach_into_numpy_either(tmp_path):
    write_cifar(tmp_path / "root", python3(4))
    np.save(tmp_path / "secret.npy", np.zeros((1, 3072), np.uint8))
    evil = pickle.dumps({b"data": Calls(np.load, str(tmp_path / "secret.npy")), b"labels": [0]})
    (tmp_path / "root" / "test_batch").write_bytes(evil)
    with pytest.raises(InputError, match=r"refused a pickle that asks for numpy\S*load"):
        load("cifar10", tmp_path / "root")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a pickle",
        python3(4)(np.zeros((2, 3072), np.uint8), [0, 1])[:-20],
        pickle.dumps([1, 2]),
        pickle.dumps({b"data": np.zeros((2, 3072), np.uint8)}),
        pickle.dumps({b"data": b"bytes", b"labels": [0, 1]}),
        python3(4)(np.zeros((2, 3071), np.uint8), [0, 1]),
        python3(4)(np.zeros((2, 3072), np.uint8), [0, 1, 2]),
        python3(4)(np.zeros((2, 3072), np.uint8), [[0], [1]]),
        python3(4)(np.zeros((2, 3072), np.int8), [0, 1]),
        python3(4)(np.full((2, 3072), None), [0, 1]),
    ],
)
def test_damaged_cifar_file_is_named(tmp_path, content):
    write_cifar(tmp_path / "root", python3(4))
    (tmp_path / "root" / "data_batch_2").write_bytes(content)
    with pytest.raises(InputError, match="data_batch_2 is damaged"):
        load("cifar10", tmp_path / "root")


# --- digits and the names --------------------------------------------------------------------------------


def test_digits_split_is_fixed_stratified_and_whole():
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")
    torch.manual_seed(1)
    first = load("digits")
    torch.manual_seed(2)
    second = load("digits", "nowhere")
    assert torch.equal(first.train_images, second.train_images)
    assert torch.equal(first.test_labels, second.test_labels)
    total = first.train_labels.bincount() + first.test_labels.bincount()
    assert total.tolist() == np.bincount(datasets.load_digits().target).tolist()
    assert (first.test_labels.bincount() / total - 0.2).abs().max() < 0.01
    assert abs(float(first.train_images.mean())) < 1e-6
    assert float(first.train_images.std(correction=0)) == pytest.approx(1, abs=1e-6)
    train = {image.numpy().tobytes() for image in first.train_images}
    assert not train & {image.numpy().tobytes() for image in first.test_images}


def test_missing_data_says_what_where_and_how(tmp_path, monkeypatch):
    with pytest.raises(DataNotFoundError, match=r"mnist: looked for MNIST/raw/\S+ but no root.*--root"):
        load("mnist")
    with pytest.raises(
        DataNotFoundError, match=r"cifar10: looked for cifar-10-batches-py/\S+ in \S+no.*--root"
    ):
        load("cifar10", tmp_path / "no")
    write_mnist(tmp_path / "MNIST" / "raw")
    (tmp_path / "MNIST" / "raw" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"t10k-labels-idx1-ubyte\.gz in .*raw") as caught:
        load("mnist", tmp_path)
    assert "\n" not in str(caught.value)
    write_cifar(tmp_path / "cifar", python3(4))
    (tmp_path / "cifar" / "data_batch_4").unlink()
    with pytest.raises(DataNotFoundError, match="data_batch_4 in"):
        load("cifar10", tmp_path / "cifar")
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DataNotFoundError, match=r'pip install "lnegeom\[torch\]"'):
        load("digits")


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(InputError, match=r"'svhn'; known: digits, mnist, cifar10, cifar100, folders"):
        load("svhn")


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "wanted", "counts", "shape", "statistics"),
    [
        ("mnist", "MNIST/raw", (60000, 10000), (1, 28, 28), [(0.1307, 0.3081)]),
        ("cifar10", "cifar-10-batches-py", (50000, 10000), (3, 32, 32), None),
    ],
)
def test_real_data(name, wanted, counts, shape, statistics):
    if not (REAL / wanted).is_dir():
        pytest.skip(f"no {wanted} in {REAL}; set LNEGEOM_DATA")
    data = load(name, REAL)
    assert (len(data.train_labels), len(data.test_labels)) == counts
    assert tuple(data.train_images.shape[1:]) == shape
    assert data.train_images.mean((0, 2, 3)).abs().max() < 1e-5
    assert (data.train_images.std((0, 2, 3)) - 1).abs().max() < 1e-4
    if name == "cifar10":
        assert data.train_labels.bincount().tolist() == [5000] * 10
        return
    black, white = float(data.train_images.min()), float(data.train_images.max())
    for mean, deviation in statistics:  # the constants that every MNIST example quotes
        assert -mean / deviation == pytest.approx(black, abs=5e-4)
        assert (1 - mean) / deviation == pytest.approx(white, abs=5e-4)


# --- the data set itself ---------------------------------------------------------------------------------


def numbered(count=50, classes=5):
    """Images that carry their own number."""
    images = torch.arange(1.0, count + 1)[:, None, None, None].expand(count, 1, 2, 2)
    labels = torch.arange(count) % classes
    return Dataset("numbered", images, labels, -images[:4], labels[:4], classes=classes, augment=True)


def test_hold_out_parts_the_training_set_class_by_class():
    data = numbered()
    tuning = data.hold_out(0.2, seed=3)
    parts = [tuning.train_images[:, 0, 0, 0].tolist(), tuning.test_images[:, 0, 0, 0].tolist()]
    assert sorted([*parts[0], *parts[1]]) == list(range(1, 51))
    assert all(part == sorted(part) for part in parts)
    assert tuning.test_labels.bincount().tolist() == [2] * 5
    for images, labels in (
        (tuning.train_images, tuning.train_labels),
        (tuning.test_images, tuning.test_labels),
    ):
        assert torch.equal((images[:, 0, 0, 0].long() - 1) % 5, labels)
    assert (tuning.name, tuning.classes, tuning.augment) == (data.name, data.classes, data.augment)
    assert torch.equal(tuning.test_images, data.hold_out(0.2, seed=3).test_images)
    assert not torch.equal(tuning.test_images, data.hold_out(0.2, seed=4).test_images)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan"), "half", 0.01])
def test_hold_out_refuses_a_share_that_is_none(fraction):
    with pytest.raises(InputError, match="fraction"):
        numbered().hold_out(fraction)


class Moved(torch.Tensor):
    """A tensor that only remembers where it was sent: no second device is needed to see it."""

    def to(self, device):
        result = self.clone().as_subclass(Moved)
        result.sent = device
        return result


def test_to_moves_all_four_tensors():
    data = numbered()
    names = ("train_images", "train_labels", "test_images", "test_labels")
    data = Dataset(
        "moved", *(getattr(data, name).as_subclass(Moved) for name in names), classes=5, augment=False
    )
    assert [getattr(data.to("there"), name).sent for name in names] == ["there"] * 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_images": torch.zeros(50, 2, 2)}, "train images"),
        ({"train_images": torch.zeros(50, 1, 2, 3)}, "train images"),
        ({"test_images": torch.zeros(4, 1, 2, 2, dtype=torch.uint8)}, "test images"),
        ({"test_images": torch.zeros(0, 1, 2, 2)}, "test images"),
        ({"test_images": torch.zeros(4, 3, 2, 2)}, r"same \(C, H, H\)"),
        ({"train_labels": torch.zeros(49, dtype=torch.int64)}, "train labels"),
        ({"train_labels": torch.zeros(50, dtype=torch.int32)}, "train labels"),
        ({"test_labels": torch.tensor([0, 1, 2, 5])}, "0 to 4, got 0 to 5"),
        ({"test_labels": torch.tensor([0, 1, 2, -1])}, "0 to 4, got -1 to 2"),
    ],
)
def test_dataset_whose_parts_do_not_fit_is_refused(changes, message):
    data = numbered()
    fields = {name: getattr(data, name) for name in data.__dataclass_fields__}
    with pytest.raises(InputError, match=message):
        Dataset(**fields | changes)


# --- batches ---------------------------------------------------------------------------------------------


def test_batches_go_once_through_all_samples_in_an_order_of_the_generator():
    images, labels = torch.arange(10.0)[:, None], torch.arange(10)
    first = list(batches(images, labels, 4, generator(0)))
    assert [len(y) for _, y in first] == [4, 4]
    assert all(torch.equal(x[:, 0], y.float()) for x, y in first)
    order = torch.cat([y for _, y in first])
    assert len(set(order.tolist())) == 8
    assert not torch.equal(order, labels[:8])
    whole = torch.cat([y for _, y in batches(images, labels, 5, generator(0))])
    assert sorted(whole.tolist()) == list(range(10))
    again = torch.cat([y for _, y in batches(images, labels, 4, generator(0))])
    other = torch.cat([y for _, y in batches(images, labels, 4, generator(1))])
    assert torch.equal(order, again)
    assert not torch.equal(order, other)


def test_order_is_drawn_at_the_call_and_anew_for_each_epoch():
    images, source = torch.arange(10), generator(0)
    drawn = batches(images, images, 10, source)
    after_call = source.get_state()
    ((first, _),) = drawn
    assert torch.equal(source.get_state(), after_call)
    ((second, _),) = batches(images, images, 10, source)
    assert not torch.equal(first, second)


@pytest.mark.parametrize(("count", "sizes"), [(9, [4, 4]), (5, [4]), (2, [2]), (8, [4, 4]), (11, [4, 4])])
def test_every_batch_is_whole(count, sizes):
    samples = torch.arange(count)
    assert [len(x) for x, _ in batches(samples, samples, 4, generator())] == sizes


@pytest.mark.parametrize(
    ("count", "labels", "size"), [(4, 4, 1), (4, 4, 0), (1, 1, 2), (4, 3, 2), (4, 4, 2.0)]
)
def test_batches_too_small_are_refused_at_the_call(count, labels, size):
    with pytest.raises(InputError, match="batch"):
        batches(torch.zeros(count), torch.zeros(labels), size, generator())


# --- augmentation ----------------------------------------------------------------------------------------


def choices(image, result, padding):
    """Every (down, right, mirror) that makes the result of the image, by trying them all."""
    height, width = image.shape[1:]
    padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding)))
    found = []
    for down in range(2 * padding + 1):
        for right in range(2 * padding + 1):
            crop = padded[:, down : down + height, right : right + width]
            found += [(down, right, 0)] * np.array_equal(crop, result)
            found += [(down, right, 1)] * np.array_equal(crop[:, :, ::-1], result)
    return found


def test_each_image_becomes_one_of_its_crops_mirrored_or_not():
    images = torch.arange(1.0, 400 * 2 * 3 * 4 + 1).reshape(400, 2, 3, 4)
    results = crop_and_flip(images, generator(), padding=1)
    found = [choices(a.numpy(), b.numpy(), 1) for a, b in zip(images, results, strict=True)]
    assert all(
        len(choice) == 1 for choice in found
    )  # pixels are all different: one explanation, the same for channels
    counts = np.unique([choice[0] for choice in found], axis=0, return_counts=True)[1]
    assert len(counts) == 18  # 3 shifts down, 3 right, mirrored or not: all occur,
    assert counts.min() > 8  # about evenly: 22 expected, standard deviation 4.6


def test_augmentation_is_the_generators_and_leaves_its_input():
    images = torch.rand(8, 3, 32, 32, generator=generator())
    before = images.clone()
    first = crop_and_flip(images, generator(5))
    assert torch.equal(first, crop_and_flip(images, generator(5)))
    assert not torch.equal(first, crop_and_flip(images, generator(6)))
    assert torch.equal(images, before)
    assert first.shape == images.shape
    assert not torch.equal(first[:, :, :4], images[:, :, :4])


def test_without_padding_twice_the_same_choices_give_the_images_back():
    images = torch.rand(20, 1, 5, 5, generator=generator())
    once = crop_and_flip(images, generator(7), padding=0)
    mirrored = [not torch.equal(a, b) for a, b in zip(once, images, strict=True)]
    assert 0 < sum(mirrored) < 20
    assert torch.equal(crop_and_flip(once, generator(7), padding=0), images)


def test_shuffling_and_augmentation_stay_on_the_images_device():
    images, labels = torch.empty(6, 3, 8, 8, device="meta"), torch.empty(6, device="meta")
    for x, y in batches(images, labels, 3, generator()):
        assert crop_and_flip(x, generator()).device.type == y.device.type == "meta"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_sees_the_same_samples():
    images, labels = torch.rand(9, 3, 8, 8, generator=generator()), torch.arange(9)
    here = [(crop_and_flip(x, generator(1)), y) for x, y in batches(images, labels, 4, generator())]
    there = [
        (crop_and_flip(x, generator(1)), y) for x, y in batches(images.cuda(), labels.cuda(), 4, generator())
    ]
    for (x, y), (u, v) in zip(here, there, strict=True):
        assert u.is_cuda
        assert torch.equal(x, u.cpu())
        assert torch.equal(y, v.cpu())


@pytest.mark.parametrize(("shape", "padding"), [((3, 8, 8), 4), ((2, 3, 8, 8), -1)])
def test_augmentation_refuses_what_it_cannot_crop(shape, padding):
    with pytest.raises(InputError, match=r"expected images \(N, C, H, W\)"):
        crop_and_flip(torch.zeros(shape), generator(), padding)
