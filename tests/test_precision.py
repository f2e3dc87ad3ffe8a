"""The setting `deterministic_precision`, and recordings that depend on it."""

import threading

import pytest

import fastnn as fn
from fastnn.precision import allowed_ways


@pytest.fixture(autouse=True)
def default():
    yield
    fn.set_deterministic_precision(False)


def ways_of(x):
    """What an op's scalar would be, as a number of the recording."""
    return x * float(allowed_ways())


def test_the_default_allows_winograd():
    assert not fn.is_deterministic_precision()
    assert allowed_ways() == 1


def test_blocks_nest_and_end_in_errors():
    with fn.deterministic_precision():
        assert allowed_ways() == 0
        with pytest.raises(ZeroDivisionError), fn.deterministic_precision(False):
            assert allowed_ways() == 1
            _ = 1 // 0
        assert allowed_ways() == 0
    assert allowed_ways() == 1


def test_one_object_can_be_entered_again():
    exact = fn.deterministic_precision()
    with exact, exact:
        assert fn.is_deterministic_precision()
    assert not fn.is_deterministic_precision()


def test_decorates():
    assert fn.deterministic_precision()(allowed_ways)() == 0
    assert allowed_ways() == 1


def test_is_of_all_threads():
    seen = []
    with fn.deterministic_precision():
        thread = threading.Thread(target=lambda: seen.append(allowed_ways()))
        thread.start()
        thread.join()
    assert seen == [0]


@pytest.mark.parametrize("wrong", [None, 1, "on"])
def test_is_on_or_off(wrong):
    with pytest.raises(TypeError, match="expected True or False"):
        fn.set_deterministic_precision(wrong)
    with pytest.raises(TypeError, match="expected True or False"):
        fn.deterministic_precision(wrong)


def test_recordings_notice_a_change():
    f, x = fn.compile(ways_of), fn.ones(3)
    for _ in range(2):  # the second time both are there already
        assert f(x).tolist() == [1, 1, 1]
        fn.set_deterministic_precision(True)
        assert f(x).tolist() == [0, 0, 0]
        fn.set_deterministic_precision(False)
    with fn.deterministic_precision():
        assert f(x).tolist() == [0, 0, 0]


def test_a_block_within_a_recording_leaves_the_rest_to_the_setting():
    @fn.compile
    def f(x):
        with fn.deterministic_precision():
            y = ways_of(x)
        return y, ways_of(x)

    def values():
        return [y.item() for y in f(fn.tensor(1.0))]

    assert values() == [0, 1]
    fn.set_deterministic_precision(True)
    assert values() == [0, 0]
    fn.set_deterministic_precision(False)
    assert values() == [0, 1]


def test_recordings_without_convolutions_do_not_depend_on_it():
    f, x = fn.compile(lambda x: x + 1), fn.ones(3)
    f(x)
    before = f.latest
    with fn.deterministic_precision():
        f(x)
    assert f.latest is before


def test_cannot_be_set_while_a_function_is_recorded():
    @fn.compile
    def f(x):
        fn.set_deterministic_precision(True)
        return ways_of(x)

    with pytest.raises(fn.RecordingError, match="set it outside"):
        f(fn.ones(3))
    assert not fn.is_deterministic_precision()
