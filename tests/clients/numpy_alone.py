"""A model in safetensors and npz, read and computed with NumPy and nothing else: `numpy_alone.py URL MODEL`."""

import io
import json
import sys

import numpy as np

import lethe


def read_safetensors(data):
    """Metadata, and arrays by name."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    metadata = header.pop("__metadata__")
    arrays = {}
    for name, tensor in header.items():
        begin, end = tensor["data_offsets"]
        assert tensor["dtype"] == "F32", tensor
        arrays[name] = np.frombuffer(data[start + begin : start + end], "<f4").reshape(tensor["shape"])
    return metadata, arrays


def read_npz(data):
    """The same."""
    members = np.load(io.BytesIO(data), allow_pickle=False)
    metadata = json.loads(members["metadata.json"])
    return metadata, {name: members[name] for name in members.files if name != "metadata.json"}


def compute(metadata, arrays, rows):
    """Probabilities of rows as clients send them."""
    x = rows.astype(np.float32) * np.float32(metadata["scale"])
    last = len(arrays) // 2 - 1
    for layer in range(last + 1):
        x = x @ arrays[f"layers.{layer}.weight"].T + arrays[f"layers.{layer}.bias"]
        if layer < last or metadata["output_relu"] == "true":
            x = np.maximum(x, 0)
    x = np.exp(x - x.max(axis=1, keepdims=True))
    return x / x.sum(axis=1, keepdims=True)


def main(url, model):
    rows = lethe.images(300)
    _, expected = lethe.predictions(url, model, rows)
    download = f"{url}/models/{model}/download?format="
    metadata, arrays = read_safetensors(lethe.fetch(download + "safetensors"))
    np.testing.assert_allclose(compute(metadata, arrays, rows), expected, rtol=0, atol=1e-5)

    same_metadata, same_arrays = read_npz(lethe.fetch(download + "npz"))
    version = lethe.fetch_json(f"{url}/models/{model}/versions/1")
    assert same_metadata == {**metadata, "digest": version["digest"]}, same_metadata
    assert list(same_arrays) == list(arrays)
    for name, array in arrays.items():
        assert same_arrays[name].dtype == np.float32 and same_arrays[name].flags.c_contiguous
        np.testing.assert_array_equal(same_arrays[name], array)


main(*sys.argv[1:])
