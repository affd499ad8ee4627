"""What the clients here share: asking a server, and rows to ask about."""

import json
import urllib.request

import numpy as np


def fetch(url, body=None, content_type="application/octet-stream"):
    """The bytes of the answer to a GET, or to a POST of `body`."""
    headers = {} if body is None else {"Content-Type": content_type}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
        return answer.read()


def fetch_json(url, body=None, content_type="application/octet-stream"):
    return json.loads(fetch(url, body, content_type))


def images(n):
    """`n` pictures of 28 x 28 bytes, one a row: bright blobs on black, as handwriting is, and a few of mere noise."""
    generator = np.random.default_rng(1)
    y, x = np.mgrid[0:28, 0:28]
    rows = np.zeros((n, 28, 28))
    for row in rows:
        for _ in range(generator.integers(1, 9)):
            at_y, at_x = generator.uniform(4, 24, 2)
            row += 255 * np.exp(-((y - at_y) ** 2 + (x - at_x) ** 2) / generator.uniform(1, 12))
    rows = rows.clip(0, 255).astype(np.uint8)
    rows[:8] = generator.integers(0, 256, (8, 28, 28))
    return rows.reshape(n, 784)


def predictions(url, model, rows):
    """What the server answers to rows of bytes: labels `[n]` and probabilities `[n, classes]`."""
    answer = fetch_json(f"{url}/models/{model}/predict", rows.tobytes())["predictions"]
    labels = np.array([row["label"] for row in answer])
    return labels, np.array([row["probabilities"] for row in answer], np.float32)
