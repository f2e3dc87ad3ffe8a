"""Module.predict and compiled modules: as the module in evaluation mode, whatever mode it is in."""

import copy
import pickle

import numpy as np
import pytest

import fastnn
from fastnn import Tensor, nn, optimizers
from steps import data


def net(dropout=0.5):
    fastnn.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(dropout), nn.Linear(32, 3)
    )


def expected(model, x):
    training = model.training
    with fastnn.no_grad():
        y = model.eval()(Tensor(x)).numpy()
    model.train(training)
    return y


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("rows", [1, 7, 64])
def test_predict_is_the_evaluation_mode(training, rows):
    model = net().train(training)
    for seed in range(4):
        x = data(rows, 6, seed=seed)
        for value in (x, Tensor(x), x.tolist()):
            y = model.predict(value)
            np.testing.assert_array_equal(y.numpy(), expected(model, x))
            assert not y.requires_grad
    assert model.training is training
    assert all(m.training is training for m in model.modules())


def test_batches_and_the_rest_of_them():
    model = net()
    x = data(50, 6)
    for _ in range(3):
        y = model.predict(x, batch_size=16)
        parts = [expected(model, x[at : at + 16]) for at in range(0, 50, 16)]
        np.testing.assert_array_equal(y.numpy(), np.concatenate(parts))
    with pytest.raises(ValueError, match="batch_size is 0"):
        model.predict(x, batch_size=0)


def test_training_goes_on_between_predictions():
    model = net()
    optimizer = optimizers.SGD(model.parameters(), lr=0.1)
    x, y = data(8, 6), np.arange(8) % 3
    for _ in range(4):
        optimizer.zero_grad()
        fastnn.losses.cross_entropy(model(Tensor(x)), Tensor(y)).backward()
        optimizer.step()
        np.testing.assert_array_equal(model.predict(x).numpy(), expected(model, x))


def test_several_inputs_and_outputs():
    class Two(nn.Module):
        def forward(self, a, b):
            return {"sum": a + b, "both": [a, b * 2]}

    a, b = data(5, 2), data(5, 2, seed=1)
    for _ in range(3):
        y = Two().predict(a, b, batch_size=2)
        np.testing.assert_array_equal(y["sum"].numpy(), a + b)
        np.testing.assert_array_equal(y["both"][1].numpy(), b * 2)
    with pytest.raises(ValueError, match="same number of rows"):
        Two().predict(a, b[:4], batch_size=2)


def test_models_that_read_values_predict_eagerly():
    class Reads(nn.Module):
        def forward(self, x):
            return x * 2 if x.sum() > 0 else x

    model = Reads()
    for _ in range(3):
        assert model.predict(np.float32([[1.0]])).item() == 2
        assert model.predict(np.float32([[-1.0]])).item() == -1


def test_copies_have_predictors_of_their_own():
    model = net()
    x = data(4, 6)
    for _ in range(3):
        model.predict(x)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        with fastnn.no_grad():
            other[0].weight.fill_(0.0)
        np.testing.assert_array_equal(other.predict(x).numpy(), expected(other, x))
    np.testing.assert_array_equal(model.predict(x).numpy(), expected(model, x))


def test_kinds_of_inputs_do_not_pile_up():
    model = net()
    for rows in range(1, 40):
        for _ in range(2):
            model.predict(data(rows, 6))
    assert len(model._predictor._recordings) < 20


def test_a_compiled_module_is_like_the_module():
    model = net()
    compiled = fastnn.compile(model)
    assert [p.shape for p in compiled.parameters()] == [p.shape for p in model.parameters()]
    assert compiled.eval() is compiled and not model.training
    x = data(4, 6)
    np.testing.assert_array_equal(compiled(x).numpy(), expected(model, x))
    assert compiled.train() is compiled and compiled.training
    with pytest.raises(AttributeError, match="nothing_there"):
        _ = compiled.nothing_there
