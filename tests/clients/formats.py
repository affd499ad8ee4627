"""Arrays in and out, as NumPy saves and loads them: `formats.py URL MODEL`."""

import http.client
import io
import json
import sys
import threading
import urllib.parse
import urllib.request

import numpy as np

import lethe

NPY = "application/x-npy"
LINES = "application/x-ndjson"


def saved(array, version=None):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version)
    return file.getvalue()


def ask(url, body, content_type=NPY, accept=NPY):
    headers = {"Content-Type": content_type, "Accept": accept}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
        return answer.read()


def arrays(url, model):
    rows = lethe.images(50)
    labels, expected = lethe.predictions(url, model, rows)
    predict = f"{url}/models/{model}/predict"
    pictures = rows.reshape(-1, 28, 28)
    for array in [rows, pictures, *(rows.astype(t) for t in ["<i2", ">i4", "u8", "<f4", ">f8"])]:
        for version in [(1, 0), (2, 0), (3, 0)]:
            answered = np.load(io.BytesIO(ask(predict, saved(array, version))))
            np.testing.assert_array_equal(answered, expected)
    answered = np.load(io.BytesIO(ask(f"{predict}?output=label", saved(rows))))
    assert answered.dtype == np.uint32
    np.testing.assert_array_equal(answered, labels)
    # answered as a whole as well, from what is no array
    answered = np.load(io.BytesIO(ask(predict, rows.tobytes(), "application/octet-stream")))
    np.testing.assert_array_equal(answered, expected)


def bulk(url, model, n_rows=20_000):
    """Lines are sent by one thread and answers read by another, on one connection."""
    rows = lethe.images(100)
    labels, _ = lethe.predictions(url, model, rows)
    lines = [json.dumps({"id": n, "inputs": row.tolist()}).encode() + b"\n" for n, row in enumerate(rows)]
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=60)
    connection.putrequest("POST", f"/models/{model}/predict?return=")
    connection.putheader("Content-Type", LINES)
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()

    def send():
        for n in range(n_rows):
            line = lines[n % len(lines)]
            connection.sock.sendall(b"%x\r\n%s\r\n" % (len(line), line))
        connection.sock.sendall(b"0\r\n\r\n")

    sender = threading.Thread(target=send)
    sender.start()
    answer = connection.response_class(connection.sock, method="POST")
    answer.begin()
    assert answer.status == 200, answer.read()
    n_answered = 0
    for n, line in enumerate(answer):
        told = json.loads(line)
        assert (told["id"], told["label"]) == (n % len(lines), labels[n % len(lines)]), told
        n_answered += 1
    sender.join()
    assert n_answered == n_rows, n_answered


arrays(*sys.argv[1:])
bulk(*sys.argv[1:])
