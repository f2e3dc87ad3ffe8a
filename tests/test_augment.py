"""Transforms of images: what each does to pixels, how often, and that it is the same at any thread count."""

import contextlib
import copy
import pickle

import numpy as np
import pytest

import fastnn
from fastnn import _core
from fastnn.data import augment
from fastnn.data.augment.mixing import beta_quantiles

RNG = np.random.default_rng(0)
PHOTOS = RNG.integers(0, 256, (24, 9, 11, 3), np.uint8).transpose(0, 3, 1, 2)
GREYS = RNG.integers(0, 256, (24, 1, 10, 10), np.uint8)


def made(transform, x, *rest, seed=0, **options):
    fastnn.manual_seed(seed)
    out = transform(x, *rest, **options)
    return tuple(o.numpy() for o in out) if isinstance(out, tuple) else out.numpy()


def images_of(shape, dtype):
    if dtype == "uint8":
        return RNG.integers(0, 256, shape, np.uint8)
    return RNG.random(shape).astype(dtype)


def close(a, b, tolerance=1e-6):
    return np.allclose(a, b, atol=tolerance, rtol=1e-5)


# --- pixels that move ---


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 19])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("order", ["NCHW", "NHWC"])
def test_flips_and_bytes_to_reals(channels, dtype, order):
    x = images_of((3, channels, 7, 37), dtype)
    if order == "NHWC":
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    units = x / 255 if dtype == "uint8" else x
    assert close(made(augment.ToFloat(), x), units)
    assert close(made(augment.RandomHorizontalFlip(1), x), units[..., ::-1])
    assert close(made(augment.RandomVerticalFlip(1), x), units[:, :, ::-1])
    both = augment.Compose([augment.RandomHorizontalFlip(1), augment.RandomVerticalFlip(1)])
    assert close(made(both, x), units[:, :, ::-1, ::-1])
    assert np.array_equal(made(augment.RandomHorizontalFlip(0), x), made(augment.ToFloat(), x))


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
@pytest.mark.parametrize("x", [PHOTOS, GREYS, (PHOTOS / 255).astype(np.float32)], ids=str)
def test_a_crop_is_a_part_of_the_padded_image(mode, x):
    height, width = x.shape[2] - 1, x.shape[3] + 2
    padded = np.pad(x, ((0, 0), (0, 0), (3, 2), (4, 1)), mode=mode)
    crop = augment.RandomCrop((height, width), padding=(4, 3, 1, 2), padding_mode=mode)
    out = made(crop, x)
    unit = 255 if x.dtype == np.uint8 else 1
    places = [
        [
            (i, j)
            for i in range(padded.shape[2] - height + 1)
            for j in range(padded.shape[3] - width + 1)
            if close(image, whole[:, i : i + height, j : j + width] / unit)
        ]
        for image, whole in zip(out, padded, strict=True)
    ]
    assert all(places)
    assert len({p for found in places for p in found}) > 8


def test_places_of_crops_are_uniform():
    """Each of 5 x 5 places as often as the others: chi-squared of 24 degrees, below its 99.9 % point."""
    x = np.arange(64, dtype=np.float32).reshape(1, 1, 8, 8).repeat(4000, 0) / 64
    first = np.round(made(augment.RandomCrop(4), x)[:, 0, 0, 0] * 64).astype(int)
    counts = np.bincount(first // 8 * 5 + first % 8, minlength=25)
    assert ((counts - 160) ** 2 / 160).sum() < 51.2


def test_fill_is_a_colour():
    crop = augment.RandomCrop((9, 11), padding=60, fill=(255, 0, 51))
    colours = {tuple(c) for c in made(crop, PHOTOS).transpose(0, 2, 3, 1).reshape(-1, 3).round(4)}
    assert tuple(np.float32([1, 0, 0.2])) in colours
    turned = made(augment.RandomRotation((45, 45), fill=102), PHOTOS)
    assert close(turned[:, :, 0, 0], 0.4)


def test_share_of_flips():
    x = np.zeros((4000, 1, 1, 2), np.uint8)
    x[..., 0] = 255
    share = made(augment.RandomHorizontalFlip(0.3), x)[:, 0, 0, 1].mean()
    assert 0.27 < share < 0.33


def test_quarter_turns_are_those_of_numpy():
    x = PHOTOS[:, :, :, :9]
    for quarter in (1, 2, 3):
        out = made(augment.RandomRotation((90 * quarter, 90 * quarter)), x)
        assert close(out, np.rot90(x, quarter, (2, 3)) / 255, 1e-5)
    assert np.array_equal(made(augment.RandomRotation(0), x), made(augment.ToFloat(), x))


def bilinear(image, rows, columns, fill):
    """The value of an image between its pixels, outside of which is a colour; in double precision."""
    padded = np.pad(image, ((0, 0), (1, 2), (1, 2)), constant_values=fill)
    rows = np.clip(rows, -1, image.shape[1]) + 1
    columns = np.clip(columns, -1, image.shape[2]) + 1
    i, j = np.floor(rows).astype(int), np.floor(columns).astype(int)
    down, right = rows - i, columns - j
    upper = padded[:, i, j] * (1 - right) + padded[:, i, j + 1] * right
    lower = padded[:, i + 1, j] * (1 - right) + padded[:, i + 1, j + 1] * right
    return upper * (1 - down) + lower * down


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_affine_maps_against_numpy(channels, dtype):
    """The inverse of: shear, turn and stretch about the middle, then move."""
    x = images_of((4, channels, 13, 21), dtype)
    angle, shear, scale, moved = np.radians(20), np.radians(10), 1.25, (0.0, 0.0)
    change = augment.RandomAffine((20, 20), None, (1.25, 1.25), (10, 10), fill=0.5)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    forward = scale * turn @ np.array([[1, -np.tan(shear)], [0, 1]])
    at = np.stack(np.meshgrid(np.arange(21) - 10.0, np.arange(13) - 6.0)).reshape(2, -1)
    columns, rows = np.linalg.inv(forward) @ at + np.array([[10.0 + moved[0]], [6.0 + moved[1]]])
    expect = [bilinear(np.float64(image), rows, columns, 0.5).reshape(-1, 13, 21) for image in x]
    assert close(made(change, x), expect, 2e-5 if dtype == "float32" else 1e-12)


def test_affine_moves_by_at_most_a_share():
    x = np.zeros((500, 1, 9, 9), np.float32)
    x[:, :, 4, 4] = 1
    out = made(augment.RandomAffine(0, translate=(1 / 3, 0)), x)
    middle = (out * np.arange(9.0)).sum(axis=(1, 2, 3)) / out.sum(axis=(1, 2, 3))
    assert close(out.sum(axis=(1, 2, 3)), 1, 1e-5)
    assert 1 <= middle.min() < 1.2
    assert 6.8 < middle.max() <= 7
    assert close(out[:, :, :4], 0)
    assert close(out[:, :, 5:], 0)


def test_turned_edges_reflect():
    x = np.full((2, 3, 8, 8), 51, np.uint8)
    for mode in ("reflect", "edge"):
        out = made(augment.RandomAffine(180, (0.5, 0.5), (0.5, 2), 30, padding_mode=mode), x)
        assert close(out, 0.2)


def test_rows_that_move_pixels_are_one_resampling():
    """A crop that is turned back sees what it had cut off; another padding ends what goes together."""
    there, back = augment.RandomRotation((30, 30)), augment.RandomRotation((-30, -30))
    x = (PHOTOS / 255).astype(np.float32)
    assert close(made(augment.Compose([there, back]), x), x, 1e-5)
    apart = [there, augment.RandomRotation((-30, -30), padding_mode="edge")]
    assert not close(made(augment.Compose(apart), x), x, 1e-2)
    alone = made(apart[1], made(there, x))
    assert np.array_equal(made(augment.Compose(apart), x), alone)


# --- pixels that change ---


def test_normalize_and_order():
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.25, 2)
    expect = (PHOTOS / 255 - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    normal = augment.Normalize(mean, std)
    assert close(made(normal, PHOTOS), expect)
    assert close(made(normal, (PHOTOS / 255)), expect, 1e-14)
    erased = made(augment.Compose([augment.Cutout(100), normal]), PHOTOS)
    assert close(erased, -np.reshape(mean, (3, 1, 1)) / np.reshape(std, (3, 1, 1)))
    assert close(made(augment.Compose([normal, augment.Cutout(100)]), PHOTOS), 0)
    assert close(made(augment.Compose([normal, normal]), GREYS[:, [0, 0, 0]])[0, 0],
                 ((GREYS[0, 0] / 255 - 0.1) / 0.5 - 0.1) / 0.5)  # fmt: skip


def test_colours():
    x = PHOTOS / 255
    grey = np.einsum("c,ncij->nij", [0.299, 0.587, 0.114], x)[:, None]
    mean = grey.mean(axis=(2, 3), keepdims=True)
    for options, expect in (
        ({"brightness": (1.5, 1.5)}, x * 1.5),
        ({"contrast": (0.5, 0.5)}, 0.5 * x + 0.5 * mean),
        ({"saturation": (2, 2)}, 2 * x - grey),
        ({"saturation": (0, 0)}, grey.repeat(3, 1)),
    ):
        out = made(augment.ColorJitter(**options), PHOTOS)
        assert close(out, np.clip(expect, 0, 1), 1e-5)
    out = made(augment.ColorJitter((0.7, 0.7), (1.5, 1.5), (0.6, 0.6)), PHOTOS)
    expect = 1.5 * 0.7 * (0.6 * x + 0.4 * grey) - 0.5 * 0.7 * mean
    assert close(out, np.clip(expect, 0, 1), 1e-5)
    single = made(augment.ColorJitter((2, 2), (0.5, 0.5), 1), GREYS)
    level = GREYS / 255
    assert close(single, np.clip(level + level.mean(axis=(2, 3), keepdims=True), 0, 1), 1e-5)


def test_brightness_is_uniform():
    x = np.full((3000, 1, 2, 2), 102, np.uint8)
    factor = made(augment.ColorJitter(0.5), x)[:, 0, 0, 0] / 0.4
    assert 0.5 <= factor.min() < 0.51
    assert 1.49 < factor.max() <= 1.5
    assert abs(factor.mean() - 1) < 0.02
    assert abs(factor.std() - 1 / np.sqrt(12)) < 0.01


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_noise(dtype):
    x = np.zeros((50, 3, 20, 30), dtype)
    noise = made(augment.GaussianNoise(0.5), x)
    assert abs(noise.mean()) < 0.01
    assert abs(noise.std() - 0.5) < 0.01
    assert abs((noise**4).mean() / noise.std() ** 4 - 3) < 0.1
    assert len(np.unique(noise)) > 0.98 * min(noise.size, 2**22), "no numbers come twice"
    twice = made(augment.Compose([augment.GaussianNoise(0.3), augment.GaussianNoise(0.4)]), x)
    assert abs(twice.std() - 0.5) < 0.01, "the two are independent"


def test_erased_areas():
    x = np.ones((2000, 1, 30, 40), np.float32)
    out = made(augment.RandomErasing(0.4, (0.1, 0.2), (0.5, 2), value=0.25), x)
    gone = out == 0.25
    assert (gone | (out == 1)).all()
    area = gone.mean(axis=(1, 2, 3))
    assert 0.36 < (area > 0).mean() < 0.44
    assert 0.09 < area[area > 0].min() < area.max() < 0.215
    for image in gone[area > 0, 0]:
        rows, columns = image.any(axis=1), image.any(axis=0)
        assert image.sum() == rows.sum() * columns.sum()
        assert 0.45 < rows.sum() / columns.sum() < 2.2
    noise = made(augment.RandomErasing(1, (0.5, 0.5), (1, 1), value="random"), x[:50])
    assert abs(noise[noise != 1].mean()) < 0.05
    assert abs(noise[noise != 1].std() - 1) < 0.05


def test_cutout_may_stick_out():
    out = made(augment.Cutout(6), np.ones((800, 3, 10, 12), np.float32))
    area = (out == 0).mean(axis=(1, 2, 3)) * 120
    assert area.max() == 36
    assert area.min() == 9
    assert ((out == 0).all(axis=1) == (out == 0).any(axis=1)).all()
    assert (out == 0).mean(axis=0).min() > 0, "every pixel has its turn"


# --- images that are mixed ---


def test_mixup():
    x, y = RNG.random((40, 3, 5, 6)).astype(np.float32), np.arange(40)
    out, shares = made(augment.MixUp(num_classes=40), x, y)
    own = shares[y, y]
    assert close(shares.sum(axis=1), 1)
    assert close(shares[y, y - 1], 1 - own)
    assert ((shares > 0).sum(axis=1) <= 2).all()
    assert own.min() >= 0.5
    mixed = own[:, None, None, None] * x + (1 - own)[:, None, None, None] * x[y - 1]
    assert close(out, mixed, 1e-5)


def test_cutmix():
    x, y = RNG.random((40, 3, 8, 10)).astype(np.float32), np.arange(40)
    out, shares = made(augment.CutMix(num_classes=40), x, y)
    for i in range(40):
        other = (out[i] == x[i - 1]).all(axis=0)
        assert (other | (out[i] == x[i]).all(axis=0)).all()
        rows, columns = other.any(axis=1), other.any(axis=0)
        assert other.sum() == rows.sum() * columns.sum()
        assert close(shares[i, i - 1], other.mean())


def test_shares_are_those_of_the_beta_distribution():
    for alpha in (0.2, 1.0, 3.0):
        lower = np.array(beta_quantiles(alpha, False))
        assert close(lower + lower[::-1], 1, 1e-12)
        share = np.interp(RNG.random(200_000), np.linspace(0, 1, len(lower)), lower)
        assert abs(share.var() - 1 / (4 * (2 * alpha + 1))) < 0.002
    assert close(beta_quantiles(1.0, False), np.linspace(0, 1, 513), 1e-6)
    x, y = np.zeros((4000, 1, 1, 1), np.float32), np.arange(4000) % 2
    own = made(augment.MixUp(0.4, 2), x, y)[1].max(axis=1)
    # The mean of the larger one of a number of Beta(0.4, 0.4) and its difference to 1.
    draws = np.random.default_rng(1).beta(0.4, 0.4, 100_000)
    assert abs(own.mean() - np.maximum(draws, 1 - draws).mean()) < 0.01


def test_chances_and_kinds_of_mixing():
    x, y = RNG.random((3000, 1, 4, 4)).astype(np.float32), np.arange(3000) % 7
    shares = made(augment.Compose([augment.MixUp(p=0.3, num_classes=7)]), x, y)[1]
    assert 0.27 < (shares.max(axis=1) < 1).mean() < 0.33
    both = augment.Compose([augment.MixUp(p=0.5, num_classes=7), augment.CutMix(num_classes=7)])
    out, _ = made(both, x, y)
    cut = ((out == x) | (out == np.roll(x, 1, 0))).all(axis=(1, 2, 3))
    assert 0.46 < cut.mean() < 0.54


def test_label_smoothing():
    x, y = np.zeros((5, 1, 2, 2), np.float32), np.array([0, 1, 2, 3, 0])
    plain = made(augment.MixUp(num_classes=4), x, y)[1]
    smooth = made(augment.MixUp(num_classes=4, label_smoothing=0.2), x, y)[1]
    assert close(smooth, 0.8 * plain + 0.05)
    again = made(augment.MixUp(label_smoothing=0.2), x, np.eye(4, dtype=np.float32)[y])[1]
    assert close(again, smooth)
    # The loss of smoothed shares is the smoothed loss of shares.
    logits = RNG.normal(size=(5, 4)).astype(np.float32)
    losses = [
        fastnn.losses.cross_entropy(logits, smooth).item(),
        fastnn.losses.cross_entropy(logits, plain, label_smoothing=0.2).item(),
    ]
    assert close(*losses)


# --- determinism, views, pickles ---

EVERYTHING = augment.Compose(
    [
        augment.RandomCrop((8, 8), padding=2, padding_mode="reflect"),
        augment.RandomHorizontalFlip(),
        augment.RandomAffine(20, (0.1, 0.1), (0.8, 1.2), 10),
        augment.ColorJitter(0.4, 0.4, 0.4),
        augment.GaussianNoise(0.05),
        augment.Normalize((0.5, 0.4, 0.3), 0.25),
        augment.RandomErasing(value="random"),
        augment.RandomRotation(5),
        augment.MixUp(0.5, 10, p=0.5),
        augment.CutMix(1.0, 10),
    ]
)


def test_same_bits_at_any_thread_count_and_in_any_memory():
    x, y = RNG.integers(0, 256, (301, 3, 12, 9), np.uint8), np.arange(301) % 10
    found = []
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    wide = np.zeros((301, 3, 24, 18), np.uint8)
    wide[..., ::2, ::2] = x
    for threads in (1, 2, 3):
        for images in (x, last, wide[..., ::2, ::2]):
            fastnn.set_num_threads(threads)
            out, shares = made(EVERYTHING, images, y)
            found.append((out.tobytes(), shares.tobytes()))
    assert len(set(found)) == 1
    assert np.isfinite(out).all()
    assert out.strides[1] == 4, "channels come last in memory"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_isa(isa, dtype):
    out, shares = made(EVERYTHING, PHOTOS, np.arange(24) % 10, dtype=dtype)
    assert out.dtype == shares.dtype == dtype
    # Normal numbers of float32 are others than those of float64, but as many of each are drawn.
    quiet = augment.Compose([t for t in EVERYTHING.transforms if "random" not in repr(t)][:4])
    expect = made(quiet, PHOTOS, dtype="float64")
    assert np.allclose(made(quiet, PHOTOS, dtype=dtype), expect, atol=1e-4)


def test_seeds_and_generators():
    a, b, c = (made(EVERYTHING, PHOTOS, np.arange(24) % 10, seed=s)[0] for s in (1, 1, 2))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
    fastnn.manual_seed(5)
    first = EVERYTHING(PHOTOS, np.arange(24) % 10)[0].numpy()
    assert not np.array_equal(first, EVERYTHING(PHOTOS, np.arange(24) % 10)[0].numpy())
    before = fastnn.random.get_state()
    crop = augment.RandomCrop(5)
    given = [crop(PHOTOS, generator=fastnn.Generator(3)).numpy() for _ in range(2)]
    assert np.array_equal(*given)
    assert fastnn.random.get_state() == before


def test_copies_and_equality():
    again = pickle.loads(pickle.dumps(EVERYTHING))
    assert again == copy.deepcopy(EVERYTHING) == EVERYTHING
    assert hash(again) == hash(EVERYTHING)
    assert np.array_equal(*(made(t, PHOTOS, np.arange(24) % 10)[0] for t in (again, EVERYTHING)))
    assert augment.RandomCrop(4, padding=[1, 2]) == augment.RandomCrop((4, 4), (1, 2))
    assert augment.RandomCrop(4) != augment.RandomCrop(5)


def test_fixed_is_what_is_not_by_chance():
    fixed = EVERYTHING.fixed()
    assert fixed.transforms == (augment.CenterCrop(8), augment.Normalize((0.5, 0.4, 0.3), 0.25))
    x = (PHOTOS / 255).astype(np.float32)
    empty = augment.Compose([augment.RandomHorizontalFlip()]).fixed()
    assert empty(fastnn.as_tensor(x))._pointer == fastnn.as_tensor(x)._pointer
    middle = made(augment.CenterCrop((5, 7)), x)
    assert np.array_equal(middle, x[:, :, 2:7, 2:9])


def test_reals_pass_through_without_a_change():
    x = RNG.normal(size=(4, 3, 8, 8)).astype(np.float32)
    assert np.array_equal(made(augment.RandomCrop(8), x), x)


# --- what is refused ---


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: augment.RandomCrop(0), "size must be a whole number of at least 1"),
        (lambda: augment.RandomCrop(3, padding=-1), "padding must be 1, 2 or 4"),
        (lambda: augment.RandomCrop(3, padding=(1, 2, 3)), "padding must be 1, 2 or 4"),
        (lambda: augment.RandomCrop(3, padding_mode="zeros"), "padding_mode is 'zeros'"),
        (
            lambda: augment.RandomCrop(30)(PHOTOS),
            r"size \(30, 30\) does not fit into images of 9 x 11",
        ),
        (lambda: augment.CenterCrop(10)(PHOTOS), "does not fit into images of 9 x 11"),
        (lambda: augment.RandomCrop(9, 9, 0, "reflect")(PHOTOS), "too much to reflect"),
        (
            lambda: augment.RandomCrop(9, 1, fill=(1, 2))(PHOTOS),
            "fill has 2 numbers, .* 3 channels",
        ),
        (lambda: augment.RandomCrop(9, 1, fill=300)(PHOTOS), "values from 0 to 255"),
        (
            lambda: augment.RandomHorizontalFlip(1.5),
            "probability p must be between 0 and 1, got 1.5",
        ),
        (lambda: augment.RandomVerticalFlip(float("nan")), "probability p must be between 0 and 1"),
        (lambda: augment.RandomRotation(-3), "degrees must be at least 0, got -3"),
        (lambda: augment.RandomRotation((5, 2)), "the least, 5, is above the most, 2"),
        (lambda: augment.RandomAffine(0, scale=(0, 1)), "scale must be between 1e-06"),
        (lambda: augment.RandomAffine(0, translate=(0.5, 2)), "translate must be between 0 and 1"),
        (lambda: augment.RandomAffine(0, translate=0.1), "translate is a pair"),
        (lambda: augment.RandomAffine(0, shear=(1, 2, 3)), "shear is 1, 2 or 4 numbers"),
        (lambda: augment.RandomAffine(0, shear=90), "shear must be between -89 and 89"),
        (lambda: augment.ColorJitter(brightness=-1), "brightness must be at least 0"),
        (lambda: augment.ColorJitter(0.1)(np.zeros((1, 2, 4, 4), np.uint8)), "have 2 channels"),
        (lambda: augment.GaussianNoise(-0.1), "sigma must be at least 0"),
        (lambda: augment.Normalize(0, 0), "std must be above 0"),
        (lambda: augment.Normalize((0, 1), 1)(PHOTOS), "mean has 2 numbers, .* 3 channels"),
        (lambda: augment.RandomErasing(scale=(0.5, 0.1)), "the least, 0.5, is above the most"),
        (lambda: augment.Cutout(0), "size must be a whole number of at least 1"),
        (lambda: augment.MixUp(0), "alpha must be between 0.01"),
        (lambda: augment.MixUp()(PHOTOS, np.arange(24)), r"say how many classes .*num_classes"),
        (lambda: augment.MixUp(num_classes=3)(PHOTOS), "call with x and y"),
        (lambda: augment.MixUp(num_classes=3)(PHOTOS, np.eye(24)[:5]), "wanted"),
        (
            lambda: augment.Compose([augment.MixUp(), augment.Normalize(0, 1)])(PHOTOS),
            "put them at the end",
        ),
        (
            lambda: augment.Compose([augment.MixUp(num_classes=3), augment.CutMix(num_classes=4)])(
                PHOTOS
            ),
            "differ in num_classes",
        ),
        (lambda: augment.ToFloat()(np.zeros((8, 28, 28), np.uint8)), r"give x\[:, None\]"),
        (
            lambda: augment.ToFloat()(np.zeros((8, 32, 32, 3), np.uint8)),
            r"looks like \(N, H, W, C\)",
        ),
        (lambda: augment.ToFloat()(np.zeros((0, 3, 4, 4), np.uint8)), "no images or no pixels"),
        (
            lambda: augment.Compose([augment.ColorJitter(0.1)]).check(PHOTOS.astype(np.float32)),
            "from 0 to 1, these are from 0 to 255",
        ),
    ],
)
def test_bad_values(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: augment.ToFloat()(PHOTOS.astype(np.int64)), "not int64"),
        (lambda: augment.ToFloat()(PHOTOS / 255, dtype="float32"), "float64 but float32 is wanted"),
        (lambda: augment.ToFloat()(PHOTOS, dtype="int64"), "become float32 or float64"),
        (lambda: augment.Compose([augment.ToFloat]), "got the class"),
        (lambda: augment.Compose([3]), "transforms are wanted, got a int"),
        (lambda: augment.GaussianNoise("loud"), "sigma must be a number"),
        (lambda: augment.ColorJitter("much"), "brightness must be a pair"),
        (lambda: augment.Transform()(PHOTOS), "cannot be used by itself|by itself"),
    ],
)
def test_bad_kinds(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_a_label_out_of_range():
    with pytest.raises(IndexError, match="7 is out of range"):
        augment.MixUp(num_classes=3)(PHOTOS[:2], np.array([1, 7]))


def test_c_refuses_rows_that_make_no_sense():
    """Whatever numbers come, nothing outside of the arrays is touched."""
    x = fastnn.Tensor(np.zeros((2, 4, 4, 3), np.uint8))
    draws, values = fastnn.zeros((2, 6), "float64"), fastnn.zeros(6, "float64")
    y, key = fastnn.empty((2, 4, 4, 3)), fastnn.zeros(2, "int64")
    sane = np.zeros((1, 16))
    sane[0, :8] = [0, 0, 4, 4, 0, 0, 1, 1]
    launch, number = _core.launch, _core.ops.augment
    launch(number, (x, draws, key, fastnn.Tensor(sane), values, y))
    bad = [(0, 9), (0, 0.5), (0, -1), (1, 7), (1, -1), (2, 5), (3, 0), (6, 0), (13, 3), (14, 4)]
    for place, value in [
        *bad,
        *((i, v) for i in (0, 1, 2, 5, 14) for v in (np.nan, np.inf, 1e300)),
    ]:
        wrong = sane.copy()
        wrong[0, place] = value
        with pytest.raises(ValueError):
            launch(number, (x, draws, key, fastnn.Tensor(wrong), values, y))
    rng = np.random.default_rng(3)
    for _ in range(2000):
        rows = rng.integers(-2, 9, (rng.integers(0, 4), 16)) * rng.choice([1, 1, 0.5], (1, 16))
        with contextlib.suppress(ValueError):
            launch(number, (x, draws, key, fastnn.Tensor(rows * 1.0), values, y))


# --- looked at ---


def test_examples_are_colours():
    grid = augment.examples(PHOTOS, EVERYTHING, rows=3, columns=4)
    assert grid.shape == (3, 4, 9, 11, 3)
    assert grid.min() >= 0
    assert grid.max() <= 1
    plain = augment.examples(PHOTOS, [augment.Normalize(0.5, 0.25)], rows=2, columns=2)
    assert close(plain[:, 0], plain[:, 1], 1e-5)
    again = augment.examples(PHOTOS, EVERYTHING, rows=3, columns=4)
    assert np.array_equal(grid, again)


def test_preview(tmp_path):
    pytest.importorskip("matplotlib")
    figure = augment.preview(
        GREYS, augment.RandomRotation(20), rows=2, columns=3, path=tmp_path / "a.png"
    )
    assert len(figure.axes) == 6
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_recorded_by_hand():
    """Each replay draws other chances, those that the plain call would have."""
    x, y = fastnn.as_tensor(PHOTOS), fastnn.as_tensor(np.arange(24) % 10)
    change = fastnn.compile(lambda x, y: EVERYTHING(x, y))
    found = []
    for way in (change, EVERYTHING):
        fastnn.manual_seed(4)
        found.append([[part.numpy().tobytes() for part in way(x, y)] for _ in range(3)])
    assert found[0] == found[1]
    assert len({image for image, _ in found[0]}) == 3
