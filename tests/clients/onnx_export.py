"""A model in ONNX, checked and computed by ONNX Runtime: `onnx_export.py URL MODEL`."""

import json
import sys

import numpy as np
import onnx
import onnxruntime

import lethe


def check_description(model, version):
    assert {operators.domain: operators.version for operators in model.opset_import} == {"": 17}
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["digest"] == version["digest"], metadata
    assert metadata["lineage.run"] == version["run"], metadata
    assert json.loads(metadata["classes"]) == version["class_names"], metadata
    assert json.loads(metadata["input"]) == version["input"], metadata


def check_interface(session, n_features, n_classes):
    [taken] = session.get_inputs()
    assert (taken.name, taken.type, taken.shape) == ("input", "tensor(float)", ["N", n_features])
    given = [(output.name, output.type, output.shape) for output in session.get_outputs()]
    assert given == [
        ("probabilities", "tensor(float)", ["N", n_classes]),
        ("logits", "tensor(float)", ["N", n_classes]),
        ("label", "tensor(int64)", ["N"]),
    ], given


def check_answers(session, rows, labels, expected, is_clipped):
    probabilities, logits, found = session.run(None, {"input": rows})
    np.testing.assert_allclose(probabilities, expected, rtol=0, atol=1e-5)
    assert found.dtype == np.int64
    # of two that are as good as equal either will do
    np.testing.assert_allclose(np.take_along_axis(expected, found[:, None], 1)[:, 0], expected.max(axis=1), atol=1e-5)
    assert (found == labels).mean() > 0.95
    assert len(np.unique(labels)) > 1, "rows that are all of one class show little"
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(exponentials / exponentials.sum(axis=1, keepdims=True), expected, atol=1e-5)
    assert (logits.min() >= 0) == is_clipped


def main(url, name):
    file = lethe.fetch(f"{url}/models/{name}/download?format=onnx")
    model = onnx.load_from_string(file)
    onnx.checker.check_model(model, full_check=True)
    version = lethe.fetch_json(f"{url}/models/{name}/versions/1")
    check_description(model, version)

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    check_interface(session, version["widths"][0], version["widths"][-1])
    rows = lethe.images(500)
    labels, expected = lethe.predictions(url, name, rows)
    is_clipped = {entry.key: entry.value for entry in model.metadata_props}["output_relu"] == "true"
    check_answers(session, rows.astype(np.float32), labels, expected, is_clipped)
    one = session.run(["label"], {"input": rows[:1].astype(np.float32)})[0]
    assert one.shape == (1,)


main(*sys.argv[1:])
