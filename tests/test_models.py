"""Ready-made convolutional networks: sizes, names, training, and PyTorch's outputs for its weights."""

import numpy as np
import pytest

import fastnn
from fastnn import Tensor, models, ops

RNG = np.random.default_rng(0)


def count(model):
    return sum(p.size for p in model.parameters())


@pytest.mark.parametrize(
    ("make", "shape", "out", "parameters"),
    [
        (models.lenet5, (2, 1, 28, 28), (2, 10), 61_706),  # LeCun et al. 1998, all maps connected
        (lambda: models.lenet5(image_size=32, in_channels=3), (2, 3, 32, 32), (2, 10), 62_006),
        (models.simple_cnn, (2, 1, 28, 28), (2, 10), 225_034),
        (
            lambda: models.simple_cnn(5, 3, image_size=[40, 34], channels=(8, 8, 4), hidden=16),
            (2, 3, 40, 34), (2, 5), 224 + 584 + 292 + 24 * 16 + 16 + 85,
        ),
        (models.resnet20, (2, 3, 32, 32), (2, 10), 272_474),
        (lambda: models.resnet20(shortcut="A"), (2, 3, 32, 32), (2, 10), 269_722),
        (lambda: models.resnet32(100), (1, 3, 32, 32), (1, 100), 472_756),
        (models.resnet44, (1, 3, 32, 32), (1, 10), 661_338),
        (models.resnet56, (1, 3, 32, 32), (1, 10), 855_770),
        (models.resnet18, (1, 3, 64, 64), (1, 1000), 11_689_512),  # as torchvision's
        (models.resnet34, (1, 3, 64, 64), (1, 1000), 21_797_672),
        (models.mobilenet_v2, (1, 3, 64, 64), (1, 1000), 3_504_872),
        (lambda: models.mobilenet_v2(10, small=True), (2, 3, 32, 32), (2, 10), 2_236_682),
        (lambda: models.mobilenet_v2(width_mult=0.5), (1, 3, 32, 32), (1, 1000), 1_968_680),
        (models.vgg11, (1, 3, 32, 32), (1, 10), 9_220_480 + 2 * 2752 + 5130),
        (lambda: models.vgg16(batch_norm=False), (1, 3, 32, 32), (1, 10), 14_714_688 + 5130),
        (lambda: models.unet(3, 2), (1, 3, 37, 50), (1, 2, 37, 50), 482_754),
    ],
)  # fmt: skip
def test_shapes_and_numbers_of_parameters(make, shape, out, parameters):
    model = make().eval()
    assert count(model) == parameters
    with fastnn.no_grad():
        assert model(fastnn.zeros(shape)).shape == out


def test_names_are_torchvisions():
    names = list(models.resnet18().state_dict())
    assert len(names) == 122
    assert names[:7] == [
        "conv1.weight", "bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var",
        "bn1.num_batches_tracked", "layer1.0.conv1.weight",
    ]  # fmt: skip
    assert {"layer2.0.downsample.0.weight", "layer4.1.bn2.bias", "fc.bias"} <= set(names)
    assert len(models.resnet34().state_dict()) == 218
    names = list(models.mobilenet_v2().state_dict())
    assert len(names) == 314
    assert {
        "features.0.0.weight", "features.0.1.running_mean", "features.1.conv.0.0.weight",
        "features.1.conv.1.weight", "features.1.conv.2.bias", "features.2.conv.1.0.weight",
        "features.2.conv.2.weight", "features.2.conv.3.weight", "features.18.0.weight",
        "classifier.1.weight",
    } <= set(names)  # fmt: skip


TRAINED = {
    "lenet5": (lambda: models.lenet5(4, image_size=20), (16, 1, 20, 20)),
    "simple_cnn": (
        lambda: models.simple_cnn(4, image_size=14, channels=(8, 8), hidden=16, batch_norm=True),
        (16, 1, 14, 14),
    ),
    "resnet": (lambda: models.ResNet((1, 1), (8, 16), 4), (16, 3, 9, 9)),
    "resnet A": (lambda: models.ResNet((1, 1), (8, 16), 4, shortcut="A"), (16, 3, 9, 9)),
    "resnet large": (lambda: models.ResNet((1, 1), (8, 16), 4, large=True), (16, 3, 33, 33)),
    "mobilenet_v2": (
        lambda: models.mobilenet_v2(4, width_mult=0.1, small=True, dropout=0.0),
        (16, 3, 16, 16),
    ),
    "vgg": (lambda: models.vgg([(8,), (8, 8)], 4, hidden=16, dropout=0.0), (16, 3, 8, 8)),
}


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("how", ["eager", "compiled"])
def test_a_few_steps_lower_the_loss(name, how):
    make, shape = TRAINED[name]
    fastnn.manual_seed(0)
    model = make()
    optimizer = fastnn.optimizers.Adam(model.parameters(), lr=0.01)
    x = Tensor(np.random.default_rng(0).standard_normal(shape).astype("float32"))
    labels = Tensor(np.arange(len(x)) % 4)

    def step(x, labels):
        optimizer.zero_grad()
        loss = fastnn.losses.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        return loss

    run = fastnn.compile(step) if how == "compiled" else step
    losses = [run(x, labels).item() for _ in range(25)]
    assert losses[-1] < 0.6 * losses[0]


def test_unet_learns_where_bright_pixels_are():
    fastnn.manual_seed(0)
    model = models.unet(1, 1, (4, 8))
    optimizer = fastnn.optimizers.Adam(model.parameters(), lr=0.02)
    x = Tensor(np.random.default_rng(0).standard_normal((4, 1, 11, 10)).astype("float32"))
    want = (x > 0).astype("float32")

    @fastnn.compile
    def step(x, want):
        optimizer.zero_grad()
        loss = fastnn.losses.bce_with_logits(model(x), want)
        loss.backward()
        optimizer.step()
        return loss

    losses = [step(x, want).item() for _ in range(30)]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("name", ["resnet", "mobilenet_v2"])
def test_compiled_and_eager_steps_are_the_same_bits(name):
    make, shape = TRAINED[name]
    ends = []
    for how in ("eager", "compiled"):
        fastnn.manual_seed(0)
        model = make()
        optimizer = fastnn.optimizers.SGD(model.parameters(), lr=0.05, momentum=0.9)

        def step(x, model=model, optimizer=optimizer):
            optimizer.zero_grad()
            loss = ops.square(model(x)).mean()
            loss.backward()
            optimizer.step()
            return loss

        run = fastnn.compile(step) if how == "compiled" else step
        x = Tensor(np.random.default_rng(0).standard_normal(shape).astype("float32"))
        for _ in range(2):
            run(x)
        ends.append({k: v.numpy() for k, v in model.state_dict().items()})
    for key, value in ends[0].items():
        np.testing.assert_array_equal(value, ends[1][key], err_msg=key)


def test_prediction_is_evaluation():
    fastnn.manual_seed(0)
    model = models.resnet20()
    x = RNG.standard_normal((4, 3, 32, 32)).astype("float32")
    want = model.eval()(Tensor(x)).numpy()
    model.train()
    for _ in range(3):  # the second of a shape is recorded
        np.testing.assert_allclose(model.predict(x).numpy(), want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: models.lenet5(image_size=10), "too small; 16 is the least"),
        (lambda: models.lenet5(pooling="sum"), "pooling is 'avg' or 'max'"),
        (lambda: models.simple_cnn(image_size=7), "too small for 2 convolutions"),
        (lambda: models.resnet20(shortcut="C"), "shortcut is 'A' or 'B'"),
        (lambda: models.ResNet((1, 1), (8,)), "2 stages of blocks but 1 widths"),
        (lambda: models.mobilenet_v2(width_mult=0), "width_mult must be above 0"),
        (lambda: models.vgg([(8,), ()]), "each stage has"),
        (lambda: models.unet(channels=(8,)), "two sizes or more"),
        (lambda: models.unet()(fastnn.zeros((1, 3, 4, 9))), "8 pixels are the least"),
        (
            lambda: models.resnet20()(fastnn.zeros((1, 1, 32, 32))),
            "1 channels but weight expects 3",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


TWINS = {
    "resnet20": (
        lambda: models.resnet20(), lambda t: t.ResNet((3, 3, 3), (16, 32, 64), 10, False),
        (3, 3, 32, 32),
    ),
    "resnet18": (
        lambda: models.resnet18(20), lambda t: t.ResNet((2, 2, 2, 2), (64, 128, 256, 512), 20, True),
        (2, 3, 65, 96),
    ),
    "mobilenet_v2": (
        lambda: models.mobilenet_v2(20), lambda t: t.MobileNetV2(20), (2, 3, 64, 96)
    ),
    "mobilenet_v2 0.75": (
        lambda: models.mobilenet_v2(20, width_mult=0.75), lambda t: t.MobileNetV2(20, 0.75),
        (2, 3, 63, 64),
    ),
    "vgg11": (
        lambda: models.vgg11().features,
        lambda t: t.vgg_features([64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"]),
        (2, 3, 32, 32),
    ),
    "unet": (
        lambda: models.unet(3, 2, (8, 16, 32)), lambda t: t.UNet(3, 2, (8, 16, 32)), (2, 3, 29, 34)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TWINS)
def test_weights_of_torch_give_its_outputs(name, tmp_path):
    torch = pytest.importorskip("torch")
    import torch_models

    ours, theirs, shape = TWINS[name]
    ours, theirs = ours().eval(), torch_models.scramble(theirs(torch_models)).eval()
    path = tmp_path / "weights.safetensors"
    try:
        from safetensors.torch import save_file
    except ImportError:
        fastnn.save(path, theirs.state_dict())
    else:
        save_file(theirs.state_dict(), path)
    ours.load_state_dict(fastnn.load(path))
    x = RNG.standard_normal(shape).astype("float32")
    with torch.no_grad():
        want = theirs(torch.tensor(x)).numpy()
    got = ours(Tensor(x)).numpy()
    assert np.abs(got - want).max() <= 1e-4 * max(1.0, np.abs(want).max())
    for _ in range(2):
        np.testing.assert_allclose(
            ours.predict(x).numpy(), want, rtol=1e-3, atol=1e-4 * np.abs(want).max()
        )
    back = theirs.load_state_dict(
        {k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()}
    )
    assert not back.missing_keys and not back.unexpected_keys


@pytest.mark.parametrize("name", ["resnet20", "mobilenet_v2"])
def test_training_follows_torchs(name):
    torch = pytest.importorskip("torch")
    import torch_models

    ours, theirs, shape = TWINS[name]
    ours, theirs = ours().double(), torch_models.scramble(theirs(torch_models)).double()
    if name == "mobilenet_v2":
        ours.classifier[0].p = theirs.classifier[0].p = 0.0
    ours.load_state_dict(theirs.state_dict())
    x = RNG.standard_normal((2, 3, 32, 32))
    labels = RNG.integers(0, 10, 2)
    fastnn.losses.cross_entropy(ours(Tensor(x)), Tensor(labels)).backward()
    loss = torch.nn.functional.cross_entropy(theirs(torch.tensor(x)), torch.tensor(labels))
    loss.backward()
    for (key, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        want = q.grad.numpy()
        # Norms over few pixels blow up the last bits of 50 layers.
        scale = max(np.abs(want).max(), 1e-3) * (1e-7 if name == "resnet20" else 1e-4)
        assert np.abs(p.grad.numpy() - want).max() <= scale, key
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(
            ours.state_dict()[key].numpy(), value.numpy(), rtol=1e-6, atol=1e-8
        )
