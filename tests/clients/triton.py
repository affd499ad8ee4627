"""Triton's own HTTP client, unmodified: `triton.py URL MODEL`, where version 1 of the model is revoked, 2 and 3 are not
and `prod` is an alias of 2."""

import sys

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

import lethe


def tensor(rows, datatype="UINT8", binary=True):
    """The input with these rows."""
    tensor = InferInput("input", list(rows.shape), datatype)
    return tensor.set_data_from_numpy(rows, binary_data=binary)


def refused(status, part, ask):
    """Checks that `ask` fails with that status and a message with `part` in it."""
    try:
        ask()
    except InferenceServerException as error:
        assert error.status() == status and part in error.message(), error
    else:
        raise AssertionError(f"not refused: {status} {part}")


def check_metadata(client, model):
    assert client.is_server_live() and client.is_server_ready()
    server = client.get_server_metadata()
    assert server["name"] == "lethe" and "binary_tensor_data" in server["extensions"], server
    assert client.is_model_ready(model) and client.is_model_ready(model, "3")
    assert client.is_model_ready(f"{model}@prod")
    assert not client.is_model_ready(model, "1") and not client.is_model_ready("nobody")
    metadata = client.get_model_metadata(model, "2")
    assert metadata["versions"] == ["2", "3"], metadata
    assert metadata["inputs"] == [{"name": "input", "datatype": "UINT8", "shape": [-1, 28, 28]}], metadata
    config = client.get_model_config(model)
    assert [output["name"] for output in config["output"]] == ["probabilities", "logits", "label"], config
    index = client.get_model_repository_index()
    states = {entry["version"]: entry["state"] for entry in index if entry["name"] == model}
    assert states == {"1": "UNAVAILABLE", "2": "READY", "3": "READY"}, index


def check_encodings(client, model, rows, labels, probabilities):
    """Every way to send the rows, and to have the answer, gives what `/predict` gives."""
    images = rows.reshape(-1, 28, 28)
    inputs = [tensor(images.astype(np.float32), "FP32"), tensor(images[:, None]), tensor(rows)]
    inputs += [tensor(rows.astype(np.float64), "FP64"), tensor(rows.astype(np.float16), "FP16")]
    inputs += [tensor(rows.astype(np.int64), "INT64"), tensor(rows.astype(np.uint16), "UINT16")]
    inputs += [tensor(rows, binary=False), tensor(images.astype(np.float32), "FP32", binary=False)]
    for sent in inputs:
        for binary in [True, False]:
            outputs = [InferRequestedOutput(name, binary) for name in ["label", "logits", "probabilities"]]
            for wanted in [outputs, None]:
                result = client.infer(model, [sent], outputs=wanted, request_id="7")
                response = result.get_response()
                assert (response["id"], response["model_name"], response["model_version"]) == ("7", model, "3")
                np.testing.assert_array_equal(result.as_numpy("label"), labels)
                np.testing.assert_array_equal(result.as_numpy("probabilities"), probabilities)
                assert result.as_numpy("label").dtype == np.int64
                logits = result.as_numpy("logits")
                assert logits.dtype == np.float32
                np.testing.assert_array_equal(logits.argmax(axis=1), labels)
    assert client.infer(model, inputs[:1], outputs=outputs[:1]).as_numpy("logits") is None


def check_classes(client, model, rows, labels, probabilities):
    for binary in [True, False]:
        outputs = [InferRequestedOutput("probabilities", binary, class_count=3)]
        classes = client.infer(model, [tensor(rows)], outputs=outputs).as_numpy("probabilities")
        assert classes.shape == (len(rows), 3)
        for named, label, row in zip(classes, labels, probabilities):
            text = named[0].decode() if isinstance(named[0], bytes) else named[0]
            value, index, _ = text.split(":")
            assert int(index) == label and np.float32(value) == row.max(), text


def check_versions(client, model, rows, url):
    second = f"{model}:2"
    for name, version, same_as in [(model, "2", second), (f"{model}@prod", "", second), (model, "3", model)]:
        _, expected = lethe.predictions(url, same_as, rows)
        answered = client.infer(name, [tensor(rows)], model_version=version)
        np.testing.assert_array_equal(answered.as_numpy("probabilities"), expected)
        assert answered.get_response()["model_version"] == (version or "2")


def check_many_at_once(client, model, rows, probabilities):
    handles = []
    for row in range(len(rows)):
        handles.append(client.async_infer(model, [tensor(rows[row : row + 1])], request_id=str(row)))
    for row, handle in enumerate(handles):
        result = handle.get_result()
        assert result.get_response()["id"] == str(row)
        np.testing.assert_array_equal(result.as_numpy("probabilities")[0], probabilities[row])


def check_errors(client, model, rows):
    refused("404", "nobody", lambda: client.infer("nobody", [tensor(rows)]))
    refused("410", "was revoked", lambda: client.infer(model, [tensor(rows)], model_version="1"))
    refused("410", "was revoked", lambda: client.get_model_metadata(model, "1"))
    refused("422", "/inputs/0/shape", lambda: client.infer(model, [tensor(rows[:, :9])]))
    nan = tensor(np.full((1, 784), np.nan, np.float32), "FP32")
    refused("422", "not NaN", lambda: client.infer(model, [nan]))
    refused("422", "BOOL", lambda: client.infer(model, [tensor(rows > 0, "BOOL")]))
    score = InferRequestedOutput("score")
    refused("422", "score", lambda: client.infer(model, [tensor(rows)], outputs=[score]))
    refused("422", "sequence_id", lambda: client.infer(model, [tensor(rows)], sequence_id=1))
    for algorithm in ["gzip", "deflate"]:
        compressed = lambda: client.infer(model, [tensor(rows)], request_compression_algorithm=algorithm)
        refused("415", "compressed", compressed)
    refused("404", "not offered", lambda: client.load_model(model))
    refused("404", "not offered", lambda: client.unload_model(model))
    refused("404", "not offered", lambda: client.get_inference_statistics(model))
    refused("404", "not offered", lambda: client.get_system_shared_memory_status())
    # what is only a wish is passed over
    wishes = {"priority": 1, "timeout": 1_000_000, "parameters": {"mine": "x"}}
    client.infer(model, [tensor(rows)], response_compression_algorithm="gzip", **wishes)


def main(url, model):
    rows = lethe.images(20)
    labels, probabilities = lethe.predictions(url, model, rows)
    with InferenceServerClient(url.removeprefix("http://"), concurrency=4) as client:
        check_metadata(client, model)
        check_encodings(client, model, rows, labels, probabilities)
        check_classes(client, model, rows, labels, probabilities)
        check_versions(client, model, rows, url)
        check_many_at_once(client, model, rows, probabilities)
        check_errors(client, model, rows)


main(*sys.argv[1:])
