"""Model files: what is written reads back, as the safetensors package has it; damage is refused."""

import json
import os
import resource
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnn
from fastnn.io import atomic_write, load_metadata, read_arrays, write_arrays


def build(header, data=b"", length=None):
    """A safetensors file by hand; `header` is JSON text or what JSON is made of."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        "layer.weight": rng.normal(size=(3, 5)).astype(np.float32),
        "double": rng.normal(size=(2, 2, 2)),
        "count": np.array(7, np.int64),
        "index": np.arange(5, dtype=np.int32),
        "image": np.arange(7, dtype=np.uint8),
        "mask": np.array([True, False, True]),
        "empty": np.zeros((0, 4), np.float32),
        'ünï"code\n\x01\U0001f600': np.ones(2, np.float32),
        "weird": np.array([np.nan, -np.inf, 5e-324, -0.0]),
    }


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def test_round_trip(tmp_path, arrays):
    write_arrays(tmp_path / "a.safetensors", arrays, {"who": "me", "zwei": "ü"})
    found, metadata = read_arrays(tmp_path / "a.safetensors")
    assert found.keys() == arrays.keys()
    assert all(same(found[k], arrays[k]) for k in arrays)
    assert metadata == {"who": "me", "zwei": "ü"} == load_metadata(tmp_path / "a.safetensors")
    assert os.listdir(tmp_path) == ["a.safetensors"]


def test_save_and_load_tensors(tmp_path):
    path = tmp_path / "t.safetensors"
    fastnn.save(path, {"a": fastnn.tensor([[1.0, 2.0]]), "b": np.arange(3)}, metadata={"k": "v"})
    found = fastnn.load(path)
    assert isinstance(found["a"], fastnn.Tensor)
    assert found["a"].numpy().tolist() == [[1.0, 2.0]]
    assert found["b"].numpy().tolist() == [0, 1, 2]


def test_strided_byte_swapped_and_read_only_arrays(tmp_path):
    strided = np.arange(12, dtype=np.float32).reshape(3, 4)[::-1, ::2]
    swapped = np.arange(3, dtype=">f4")
    strided.flags.writeable = False
    write_arrays(tmp_path / "s", {"strided": strided, "swapped": swapped})
    found = read_arrays(tmp_path / "s")[0]
    assert (found["strided"] == strided).all()
    assert (found["swapped"] == [0, 1, 2]).all()


def test_same_bytes_as_the_safetensors_package(tmp_path, arrays):
    reference = pytest.importorskip("safetensors.numpy")
    for metadata in (None, {"format": "np"}):
        write_arrays(tmp_path / "ours", arrays, metadata)
        reference.save_file(arrays, tmp_path / "theirs", metadata=metadata)
        assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    theirs = reference.load_file(tmp_path / "ours")
    ours = read_arrays(tmp_path / "theirs")[0]
    assert all(same(theirs[k], arrays[k]) and same(ours[k], arrays[k]) for k in arrays)


@pytest.mark.parametrize(
    ("kind", "data", "dtype", "value"),
    [
        ("F16", np.float16(1.5).tobytes(), "float32", 1.5),
        ("BF16", b"\xc0\x3f", "float32", 1.5),
        ("I8", b"\xff", "int32", -1),
        ("I16", b"\xfe\xff", "int32", -2),
        ("U16", b"\xff\xff", "int32", 65535),
        ("U32", b"\xff\xff\xff\xff", "int64", 2**32 - 1),
    ],
)
def test_dtypes_that_are_widened(tmp_path, kind, data, dtype, value):
    (tmp_path / "f").write_bytes(build({"a": entry(kind, (1,), (0, len(data)))}, data))
    found = read_arrays(tmp_path / "f")[0]["a"]
    assert found.dtype == dtype
    assert found[0] == value


BAD = {
    "empty": (b"", "shorter than its first field"),
    "seven bytes": (b"\1" * 7, "shorter than its first field"),
    "huge header": ((2**64 - 1).to_bytes(8, "little") + b"{}", "claims a header of"),
    "header beyond the file": (build(b"{}", length=3), "claims a header of 3"),
    "no header": (build(b"", b"x" * 8), "does not begin with"),
    "leading space": (build(b" {}"), "does not begin with"),
    "pickle": (b"\x80\x04\x95\x10\0\0\0\0\0\0\0}\x94.", "not a safetensors file"),
    "not JSON": (build(b"{]"), "bad header"),
    "not UTF-8": (build(b'{"\xff":1}'), "bad header"),
    "trailing text": (build(b"{}x"), "bad header"),
    "deep": (build(b'{"a":' + b"[" * 200_000), "bad header"),
    "long number": (build(b'{"a":' + b"1" * 10_000 + b"}"), "bad header"),
    "NaN": (build(b'{"a":NaN}'), "NaN is not JSON"),
    "same name twice": (
        build(b'{"a":%b,"a":%b}' % ((json.dumps(entry()).encode(),) * 2), b"0000"),
        "twice",
    ),
    "entry is a list": (build({"a": []}), "needs exactly"),
    "missing field": (build({"a": {"dtype": "F32", "shape": [1]}}), "needs exactly"),
    "extra field": (build({"a": {**entry(), "code": "x"}}, b"0000"), "needs exactly"),
    "unknown dtype": (build({"a": entry("F8_E5M2", (4,))}, b"0000"), "dtype F8_E5M2"),
    "dtype is a list": (build({"a": entry(["F32"])}, b"0000"), "dtype"),
    "negative side": (build({"a": entry(shape=(-1, -1))}, b"0000"), "shape"),
    "fractional side": (build({"a": entry(shape=(1.0,))}, b"0000"), "shape"),
    "boolean side": (build({"a": entry(shape=(True,))}, b"0000"), "shape"),
    "shape is text": (build({"a": {**entry(), "shape": "1"}}, b"0000"), "shape"),
    "too many sides": (build({"a": entry(shape=(1,) * 9)}, b"0000"), "shape"),
    "overflowing shape": (build({"a": entry(shape=(2**62, 4))}, b"0000"), "takes"),
    "huge side": (build({"a": entry(shape=(2**64,))}, b"0000"), "shape"),
    "zero times huge": (build({"a": entry(shape=(0, 2**40, 2**40), offsets=(0, 0))}), "too large"),
    "wrong length": (build({"a": entry(shape=(2,))}, b"0000"), "takes 8 bytes by its shape"),
    "reversed offsets": (build({"a": entry(offsets=(4, 0))}, b"0000"), "data_offsets"),
    "negative offset": (build({"a": entry(offsets=(-4, 0))}, b"0000"), "data_offsets"),
    "offsets beyond the file": (
        build({"a": entry(shape=(1 << 40,), offsets=(0, 1 << 42))}),
        "truncated",
    ),
    "overlap": (build({"a": entry(), "b": entry()}, b"0000"), "overlaps"),
    "gap": (build({"a": entry(), "b": entry(offsets=(8, 12))}, b"0" * 12), "gap"),
    "starts late": (build({"a": entry(offsets=(4, 8))}, b"0" * 8), "gap"),
    "bytes left over": (build({"a": entry()}, b"00000"), "truncated or damaged"),
    "metadata is text": (build({"__metadata__": "x"}), "__metadata__"),
    "metadata of numbers": (build({"__metadata__": {"a": 1}}), "__metadata__"),
    "not a boolean": (build({"a": entry("BOOL", (2,), (0, 2))}, b"\0\2"), "neither 0 nor 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_hostile_files_are_refused(tmp_path, case):
    content, message = BAD[case]
    (tmp_path / "bad").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_arrays(tmp_path / "bad")
    assert "bad" in str(caught.value)
    assert len(str(caught.value)) < 600


def test_every_truncation_is_refused(tmp_path, arrays):
    write_arrays(tmp_path / "whole", arrays)
    whole = (tmp_path / "whole").read_bytes()
    for length in range(len(whole)):
        (tmp_path / "part").write_bytes(whole[:length])
        with pytest.raises(ValueError, match="part"):
            read_arrays(tmp_path / "part")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_files_never_crash(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("fuzz")
    write_arrays(folder / "f", {"a": np.ones((2, 3), np.float32), "b": np.arange(4)}, {"k": "v"})
    content = bytearray((folder / "f").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (folder / "f").write_bytes(content)
    try:
        found, _ = read_arrays(folder / "f")
    except ValueError:
        return
    assert sum(a.nbytes for a in found.values()) <= 2 * len(content)


@pytest.mark.parametrize(
    ("arrays", "metadata", "message"),
    [
        ({"a": np.zeros(1, complex)}, None, "'a' is complex128"),
        ({"a": np.array(["x"])}, None, "'a' is"),
        ({3: np.zeros(1)}, None, "3 cannot be the name"),
        ({"__metadata__": np.zeros(1)}, None, "cannot be the name"),
        ({"\ud800": np.zeros(1)}, None, "not valid Unicode"),
        ({"a": np.zeros(1)}, {"n": 1}, "metadata maps str to str"),
    ],
)
def test_what_a_file_cannot_hold(tmp_path, arrays, metadata, message):
    with pytest.raises(TypeError, match=message):
        write_arrays(tmp_path / "a", arrays, metadata)
    assert not os.listdir(tmp_path)


def test_what_save_cannot_take(tmp_path):
    with pytest.raises(TypeError, match="wants a model or a dict"):
        fastnn.save(tmp_path / "a", [1, 2])
    with pytest.raises(TypeError, match="'w' is a list"):
        fastnn.save(tmp_path / "a", {"w": [1.0]})
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        fastnn.save(tmp_path / "no" / "a", {})
    with pytest.raises(IsADirectoryError):
        fastnn.save(tmp_path, {})
    with pytest.raises(FileNotFoundError):
        fastnn.load(tmp_path / "missing")


def test_an_error_while_writing_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    os.chmod(path, 0o640)
    with pytest.raises(RuntimeError), atomic_write(path) as file:
        file.write(b"new, but not")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]
    with atomic_write(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_symbolic_link_stays_one(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    with atomic_write(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_a_full_disk_is_a_clear_error_and_keeps_the_old_file(tmp_path):
    def limit():  # a write beyond 64 KiB fails as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))

    path = tmp_path / "model"
    write_arrays(path, {"a": np.ones(3)})
    before = path.read_bytes()
    script = f"""
        import numpy as np
        from fastnn.io import write_arrays
        write_arrays({str(path)!r}, {{"a": np.ones(1 << 16)}})
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        preexec_fn=limit,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    assert "what was there before is unchanged" in run.stderr
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["model"]


def test_abandoned_temporary_files_are_removed(tmp_path):
    left = tmp_path / ".model.0123456789ab.tmp"
    other = tmp_path / ".other.0123456789ab.tmp"
    left.write_bytes(b"half"), other.write_bytes(b"half")
    with atomic_write(tmp_path / "model") as file:
        file.write(b"first")
        with atomic_write(tmp_path / "model") as second:  # a writer at work is left in peace
            second.write(b"second")
    assert sorted(os.listdir(tmp_path)) == [other.name, "model"]
    assert (tmp_path / "model").read_bytes() == b"first"
