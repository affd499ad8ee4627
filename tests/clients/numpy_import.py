"""A network made with NumPy, sent, and asked: `numpy_import.py URL`."""

import json
import sys

import numpy as np

import lethe


def safetensors(arrays):
    """The file of these arrays, without metadata."""
    header, data = {}, b""
    for name, array in arrays.items():
        end = len(data) + array.nbytes
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": [len(data), end]}
        data += array.astype("<f4").tobytes()
    header = json.dumps(header).encode()
    return len(header).to_bytes(8, "little") + header + data


def main(url):
    generator = np.random.default_rng(2)
    widths = [784, 12, 5]
    arrays = {}
    for layer, (n_in, n_out) in enumerate(zip(widths, widths[1:])):
        arrays[f"layers.{layer}.weight"] = generator.normal(0, n_in**-0.5, (n_out, n_in)).astype(np.float32)
        arrays[f"layers.{layer}.bias"] = generator.normal(0, 0.1, n_out).astype(np.float32)
    version = lethe.fetch_json(f"{url}/models?name=made&input=image:28x28", safetensors(arrays))
    assert (version["origin"], version["run"], version["dataset"]) == ("import", None, None), version

    rows = lethe.images(200)
    hidden = np.maximum(rows / np.float32(255) @ arrays["layers.0.weight"].T + arrays["layers.0.bias"], 0)
    logits = hidden @ arrays["layers.1.weight"].T + arrays["layers.1.bias"]
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    _, answered = lethe.predictions(url, "made", rows)
    np.testing.assert_allclose(answered, exponentials / exponentials.sum(axis=1, keepdims=True), atol=1e-5)


main(*sys.argv[1:])
