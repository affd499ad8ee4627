"""What the peers have in common: the model, the answer, and how a peer begins and ends.

A peer says where it listens as the first line of its output, once it can be asked, and ends when its standard input is
closed.
"""

import os
import signal
import threading

import numpy as np
import onnxruntime

PIXELS = 784


class Model:
    """The exported model in ONNX Runtime, on one thread: more are of no use to a row of a small network."""

    def __init__(self, path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        providers = ["CPUExecutionProvider"]
        self.session = onnxruntime.InferenceSession(path, options, providers=providers)

    def predict(self, rows):
        """Answers `rows`, numbers from 0 to 255."""
        inputs = {"input": np.asarray(rows, dtype=np.float32).reshape(-1, PIXELS)}
        labels, probabilities = self.session.run(["label", "probabilities"], inputs)
        return [
            {"label": label, "confidence": row[label], "probabilities": row}
            for label, row in zip(labels.tolist(), probabilities.tolist())
        ]


def end_with_the_bench():
    """Takes every process of this peer with it, however the bench ends."""
    os.setpgid(0, 0)

    def wait():
        # not by `sys.stdin`: its lock would be held for ever in forked processes, which close it
        os.read(0, 1)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def announce(port):
    print(f"listening on http://127.0.0.1:{port}", flush=True)
