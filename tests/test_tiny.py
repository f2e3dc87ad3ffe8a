"""A tour of fastnn, a stop a test, from a sum to a trained network. If several tests fail, start
here.
"""

import numpy as np

import fastnn
from fastnn import Tensor, losses, nn, optimizers


class TestTour:
    def test_1_a_tensor_is_made_of_numbers(self):
        x = Tensor([[1.0, 2.0], [3.0, 4.0]])
        assert x.shape == (2, 2) and x.dtype == "float32"

    def test_2_numpy_sees_the_same_memory(self):
        x = fastnn.zeros((2, 3))
        x.numpy()[1, 2] = 5
        assert x[1, 2].item() == 5

    def test_3_arithmetic_broadcasts(self):
        x = Tensor([[1.0, 2.0], [3.0, 4.0]])
        np.testing.assert_array_equal((2 * x + Tensor([10.0, 20.0])).numpy(), [[12, 24], [16, 28]])

    def test_4_products(self):
        x = Tensor([[1.0, 2.0], [3.0, 4.0]])
        np.testing.assert_array_equal((x @ x.T).numpy(), [[5, 11], [11, 25]])

    def test_5_functions(self):
        x = Tensor([-1.0, 0.0, 1.0])
        np.testing.assert_allclose(fastnn.relu(x).numpy(), [0, 0, 1])
        np.testing.assert_allclose(fastnn.exp(x).numpy(), np.exp([-1, 0, 1]), rtol=1e-6)

    def test_6_sums_over_any_axis(self):
        x = fastnn.arange(6).astype("float32").reshape((2, 3))
        assert x.sum().item() == 15
        np.testing.assert_array_equal(x.mean(axis=0).numpy(), [1.5, 2.5, 3.5])

    def test_7_indexing(self):
        x = fastnn.arange(12).reshape((3, 4))
        np.testing.assert_array_equal(x[1:, ::2].numpy(), [[4, 6], [8, 10]])
        np.testing.assert_array_equal(x[Tensor([2, 0])].numpy(), [[8, 9, 10, 11], [0, 1, 2, 3]])

    def test_8_gradients(self):
        x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
        (x * x).sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), [2, 4, 6])

    def test_9_gradients_of_gradients(self):
        x = Tensor(2.0, requires_grad=True)
        slope = fastnn.grad(x * x * x, x, create_graph=True)
        assert slope.item() == 12 and fastnn.grad(slope, x).item() == 12

    def test_10_a_layer(self):
        layer = nn.Linear(3, 2)
        assert layer(fastnn.ones((5, 3))).shape == (5, 2)
        assert {k: v.shape for k, v in layer.state_dict().items()} == {
            "weight": (2, 3),
            "bias": (2,),
        }

    def test_11_a_loss(self):
        scores = Tensor([[2.0, 0.0], [0.0, 2.0]])
        loss = losses.cross_entropy(scores, Tensor([0, 0]))
        np.testing.assert_allclose(loss.item(), np.log(1 + np.exp(-2)) + 1, rtol=1e-6)

    def test_12_a_plain_loop_learns_exclusive_or(self):
        x = Tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
        y = Tensor([0, 1, 1, 0])
        model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))
        optimizer = optimizers.Adam(model.parameters(), lr=0.05)
        for _ in range(200):
            optimizer.zero_grad()
            loss = losses.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
        assert loss.item() < 0.05
        assert fastnn.argmax(model(x), axis=1).tolist() == [0, 1, 1, 0]

    def test_13_a_trainer_learns_digits(self):
        from fastnn.data import datasets

        train, test = datasets.digits()
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        trainer = fastnn.Trainer(
            model, loss="cross_entropy", optimizer="adam", metrics=["accuracy"]
        )
        history = trainer.fit(*train, epochs=8, batch_size=32)
        assert history.history["loss"][-1] < history.history["loss"][0]
        assert trainer.evaluate(*test)["accuracy"] > 0.9

    def test_14_a_model_is_saved_and_read_back(self, tmp_path):
        model = nn.Linear(3, 2)
        fastnn.save(tmp_path / "model.safetensors", model.state_dict())
        again = nn.Linear(3, 2)
        again.load_state_dict(fastnn.load(tmp_path / "model.safetensors"))
        x = fastnn.ones((4, 3))
        np.testing.assert_array_equal(model(x).numpy(), again(x).numpy())
