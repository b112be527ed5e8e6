"""Folders of image files: decoding, random parts, batches, bad files."""

import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
Image = pytest.importorskip("PIL.Image", reason="pillow is not installed")

from torch.nn import functional as F  # noqa: E402

from lnegeom import InputError  # noqa: E402
from lnegeom_torch.data import DataNotFoundError, evaluation_batches, load, training_batches  # noqa: E402
from lnegeom_torch.data._folders import _random_part  # noqa: E402
from lnegeom_torch.train import TrainConfig, train  # noqa: E402

MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
DEVIATION = torch.tensor([0.229, 0.224, 0.225])[:, None, None]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def gradient(height, width):
    """An image whose red grows to the right, green downwards, and blue nowhere."""
    down, across = np.mgrid[0:height, 0:width]
    red, green = (across + 0.5) / width * 255, (down + 0.5) / height * 255
    return np.stack([red, green, np.full_like(red, 51.0)], axis=2).astype(np.uint8)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two classes; seven images for training, three for test; of both orientations and of three kinds."""
    root = tmp_path_factory.mktemp("folders")
    for part, count in (("train", 7), ("val", 3)):
        for index in range(count):
            folder = root / part / ("zebra" if index % 2 else "ant")
            folder.mkdir(parents=True, exist_ok=True)
            image = Image.fromarray(gradient(64, 96) if index % 2 else gradient(96, 64))
            image.save(folder / (f"{index}.JPEG" if index % 2 else f"{index}.png"), quality=95)
    Image.fromarray(gradient(80, 80)[:, :, 0]).save(root / "train" / "ant" / "8 grey.PNG")
    (root / "train" / "ant" / "notes.txt").write_text("no image")
    return root


def colours(images):
    return images * DEVIATION + MEAN


def test_labels_follow_the_folders_names_and_other_files_are_left_out(root):
    data = load("folders", root, image_size=16)
    assert (data.classes, data.channels, data.image_size, data.augment) == (2, 3, 16, True)
    assert data.train_labels.tolist() == [0] * 5 + [1] * 3
    assert data.test_labels.tolist() == [0, 0, 1]
    assert len(data.train_images) == 8
    assert data.train_images.shape == (8, 3, 16, 16)


WNIDS = ["n02", "n03", "n01"]  # the development kit's numbers 1, 2, 3: not the order of the names


@pytest.fixture
def official(tmp_path):
    """ImageNet as its archives unpack: training images by class, validation images in one folder."""
    root = tmp_path / "CLS-LOC"
    for name in WNIDS:
        (root / "train" / name).mkdir(parents=True)
        Image.fromarray(gradient(32, 32)).save(root / "train" / name / f"{name}_7.JPEG")
    (root / "val").mkdir()
    for number in range(1, 5):
        Image.fromarray(gradient(32, 32)).save(root / "val" / f"ILSVRC2012_val_{number:08d}.JPEG")
    return root


def devkit(folder, truth=(3, 1, 2, 1)):
    from scipy.io import savemat

    folder = folder / "ILSVRC2012_devkit_t12" / "data"
    folder.mkdir(parents=True)
    (folder / "ILSVRC2012_validation_ground_truth.txt").write_text("".join(f"{n}\n" for n in truth))
    kind = [("ILSVRC2012_ID", object), ("WNID", object), ("words", object)]
    synsets = np.array([(n, name, "a word") for n, name in enumerate(WNIDS, start=1)], dtype=kind)
    savemat(folder / "meta.mat", {"synsets": synsets[:, None]})
    return folder


def table(folder, wnids=("n01", "n02", "n03", "n02")):
    lines = [
        f"ILSVRC2012_val_{n:08d},{wnid} 1 2 3 4 {wnid} 5 6 7 8 " for n, wnid in enumerate(wnids, start=1)
    ]
    (folder / "LOC_val_solution.csv").write_text("\n".join(["ImageId,PredictionString", *reversed(lines)]))


@pytest.mark.parametrize("kind", ["in", "beside", "kaggle"])
def test_imagenets_validation_images_are_labelled_as_the_archive_does(official, kind):
    if kind == "kaggle":
        table(official.parent)
    else:
        devkit(official if kind == "in" else official.parent)
    data = load("folders", official, image_size=16)
    assert data.train_labels.tolist() == [0, 1, 2]
    assert data.test_labels.tolist() == [0, 1, 2, 1]
    assert [path[-6:] for path in data.test_images.paths] == ["1.JPEG", "2.JPEG", "3.JPEG", "4.JPEG"]


def test_validation_images_without_labels_are_refused(official):
    with pytest.raises(DataNotFoundError, match=r"development kit's .* or Kaggle's LOC_val_solution.csv"):
        load("folders", official)
    table(official, wnids=("n01", "n02", "n03"))
    with pytest.raises(InputError, match=r"LOC_val_solution.csv has no label for ILSVRC2012_val_00000004"):
        load("folders", official)
    table(official, wnids=("n01", "n02", "n03", "n04"))
    with pytest.raises(InputError, match=r"val has the class 'n04', which .*train has not"):
        load("folders", official)
    (official / "LOC_val_solution.csv").write_text("ImageId\nILSVRC2012_val_00000001\n")
    with pytest.raises(InputError, match=r"is not Kaggle's table"):
        load("folders", official)
    (devkit(official) / "meta.mat").write_text("no matrix")
    with pytest.raises(InputError, match=r"is not the ILSVRC 2012 development kit's data folder"):
        load("folders", official)


def test_evaluation_takes_the_centre_as_torchs_own_resampling_does(root):
    data = load("folders", root, image_size=28)
    ((images, labels),) = evaluation_batches(data.test_images, data.test_labels)
    assert labels.tolist() == [0, 0, 1]
    for image, (height, width), tolerance in zip(
        images, [(96, 64), (96, 64), (64, 96)], (1.6, 1.6, 4), strict=True
    ):
        # 7/8 of the shorter side of 64 is 56 pixels, and of torch's resampling only whole pixels are asked.
        top, left = (height - 56) // 2, (width - 56) // 2
        part = torch.from_numpy(gradient(height, width)[top : top + 56, left : left + 56]).permute(2, 0, 1)
        expected = F.interpolate(part[None].float(), (28, 28), mode="bilinear", antialias=True)[0]
        assert (255 * colours(image) - expected).abs().max() < tolerance  # JPEG is lossy


def test_a_random_part_shows_where_it_was_cut(root):
    """Red and green tell how far right and down each pixel was, and blue that the colours are right."""
    data = load("folders", root, image_size=16)
    data = data.hold_out(0.4)  # of the training files, as of tensors
    assert sorted([len(data.train_images), len(data.test_images)]) == [3, 5]
    data = load("folders", root, image_size=16)
    (first, again), (second, _) = (
        [next(training_batches(data, 8, generator(seed))) for _ in range(2)] for seed in (0, 1)
    )
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], second[0])
    red, green, blue = (255 * colours(first[0])).unbind(1)
    coloured = (blue - 51).abs().amax((1, 2)) < 3
    assert coloured.sum() == 7  # all but the grey one
    across, down = (
        red[coloured].diff(dim=2).mean((1, 2)) * 16 / 255,
        green[coloured].diff(dim=1).mean((1, 2)) * 16 / 255,
    )
    area = (across * down).abs()  # as a share of the image
    assert (area > 0.05).all()
    assert (area < 1.1).all()
    assert area.std() > 0.05


def test_random_parts_have_the_published_distribution():
    """Area uniform in 8 to 100 %, ratio log-uniform in 3:4 to 4:3, where there is room."""
    rows = torch.rand(2000, 22, generator=generator()).tolist()
    boxes = torch.tensor([_random_part(1000, 1000, row) for row in rows])
    wide, high = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    assert boxes.min() >= 0
    assert boxes.max() <= 1000 + 1e-3
    small = wide * high < 0.5e6  # a larger part may have been drawn again, for lack of room
    area, ratio = (wide * high)[small] / 1e6, (wide / high)[small].log() / np.log(4 / 3)
    for values, low, top in ((area, 0.08, 0.5), (ratio, -1, 1)):
        uniform = ((values - low) / (top - low)).sort().values
        steps = torch.linspace(0, 1, len(uniform))
        assert (uniform - steps).abs().max() < 1.95 / len(uniform) ** 0.5  # Kolmogorov, one in a thousand


def test_a_part_that_fits_nowhere_becomes_the_centre():
    wide, high = 1000, 10
    left, top, right, bottom = _random_part(wide, high, [1.0] * 22)
    assert (right - left, bottom - top) == (8.75, 8.75)
    assert left + right == wide
    assert top + bottom == high


def test_batches_are_whole_shuffled_and_in_order_where_asked(root):
    data = load("folders", root, image_size=8)
    parts = [y for _, y in training_batches(data, 2, generator(3))]
    assert [len(part) for part in parts] == [2, 2, 2, 2]
    assert torch.equal(torch.cat(parts).sort().values, data.train_labels)
    assert not torch.equal(torch.cat(parts), data.train_labels)
    assert [y.tolist() for _, y in evaluation_batches(data.test_images, data.test_labels, 2)] == [[0, 0], [1]]


def test_training_batches_of_tensors_are_batches_cropped_and_flipped():
    from lnegeom_torch.data import Dataset, batches, crop_and_flip

    images, labels = torch.rand(10, 1, 8, 8), torch.arange(10) % 2
    ours = Dataset("mine", images, labels, images, labels, classes=2, augment=True)
    own = generator(5)
    expected = [(crop_and_flip(x, own), y) for x, y in batches(images, labels, 4, own)]
    for (x, y), (a, b) in zip(training_batches(ours, 4, generator(5)), expected, strict=True):
        assert torch.equal(x, a)
        assert torch.equal(y, b)


def test_a_network_trains_on_files(root):
    data = load("folders", root, image_size=8)
    config = TrainConfig(data="folders", model="mlp", epochs=2, batch_size=4)
    first, second = (train(config, seed=0, dataset=data).history for _ in range(2))
    assert first == second
    assert first[-1]["accuracy"] in (0, 100 / 3, 200 / 3, 100)


def test_bad_folders_and_files_are_named(root, tmp_path, monkeypatch):
    with pytest.raises(DataNotFoundError, match=r"folders: looked for train/CLASS/\*.JPEG .* but no root"):
        load("folders")
    with pytest.raises(DataNotFoundError, match="looked for train"):
        load("folders", tmp_path)
    (tmp_path / "train" / "ant").mkdir(parents=True)
    (tmp_path / "val" / "ant").mkdir(parents=True)
    with pytest.raises(DataNotFoundError, match="found no image in a folder for each class"):
        load("folders", tmp_path)
    for part in ("train", "val"):
        (tmp_path / part / "ant" / "a.jpg").write_bytes(b"<html>not found</html>")
    data = load("folders", tmp_path)
    with pytest.raises(InputError, match=r"a\.jpg is not a readable image"):
        next(evaluation_batches(data.test_images, data.test_labels))
    with pytest.raises(InputError, match="image_size"):
        load("folders", tmp_path, image_size=0)
    (tmp_path / "val" / "bee").mkdir()
    with pytest.raises(InputError, match=r"val has the class 'bee', which .*train has not"):
        load("folders", tmp_path)
    monkeypatch.setitem(sys.modules, "PIL", None)
    data = load("folders", root)
    with pytest.raises(DataNotFoundError, match="pip install pillow"):
        next(evaluation_batches(data.test_images, data.test_labels))
