"""Trains on behalf of the bench: one long-lived process for each peer.

    python peer.py torch|sklearn FOLDER

FOLDER holds the rows as raw bytes: `train.x` and `test.x` (one byte a pixel), `train.y` and `test.y` (one byte a
label). Each line on standard input is a training to do, `{"batch": 64, "epochs": 2, "threads": 1, "seed": 1}`; each is
answered by a line `{"seconds": …, "accuracy": …}`. The seconds are those of the training loop alone.
"""

import gc
import json
import math
import sys
import time
import warnings
from pathlib import Path

import numpy as np

HIDDEN = 256
CLASSES = 10
LEARNING_RATE = 0.05
MOMENTUM = 0.9
# mini-batches before the clock starts
WARM_UP = 20


def rows(folder, part):
    """One part of the data: pixels as f32 in 0…1, and labels."""
    labels = np.fromfile(folder / f"{part}.y", dtype=np.uint8).astype(np.int64)
    pixels = np.fromfile(folder / f"{part}.x", dtype=np.uint8).reshape(len(labels), -1)
    return pixels.astype(np.float32) / np.float32(255), labels


class Torch:
    """PyTorch as a careful user would run it: rows in memory, no loader, the fused optimiser."""

    def __init__(self, folder):
        import torch

        self.torch = torch
        self.train_x, self.train_y, self.test_x, self.test_y = (
            torch.from_numpy(array) for part in ("train", "test") for array in rows(folder, part)
        )

    def network(self):
        """Begins as Lethe's does: normal weights of variance 2 / fan_in, zero biases.

        PyTorch's own beginning is six times as narrow, and a point of accuracy behind after as many steps.
        """
        torch = self.torch
        layers = [torch.nn.Linear(self.train_x.shape[1], HIDDEN), torch.nn.Linear(HIDDEN, CLASSES)]
        for layer in layers:
            torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            torch.nn.init.zeros_(layer.bias)
        return torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1])

    def train(self, batch, epochs, threads, seed):
        torch = self.torch
        torch.set_num_threads(threads)
        torch.manual_seed(seed)
        self.loop(self.network(), batch, 1, WARM_UP * batch)
        model = self.network()
        start = time.perf_counter()
        self.loop(model, batch, epochs, len(self.train_y))
        seconds = time.perf_counter() - start
        with torch.no_grad():
            hits = (model(self.test_x).argmax(1) == self.test_y).sum().item()
        return seconds, hits / len(self.test_y)

    def loop(self, model, batch, epochs, n_rows):
        """Trains on the first `n_rows` rows, shuffled in each epoch."""
        torch, x, y = self.torch, self.train_x, self.train_y
        # fused is the fastest of the optimiser's three implementations here
        optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, fused=True)
        group = optimizer.param_groups[0]
        loss_of = torch.nn.functional.cross_entropy
        n_rows = min(n_rows, len(y))
        steps = epochs * math.ceil(n_rows / batch)
        step = 0
        for _ in range(epochs):
            for chosen in torch.randperm(n_rows).split(batch):
                group["lr"] = LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * step / steps))
                loss = loss_of(model(x.index_select(0, chosen)), y.index_select(0, chosen))
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                step += 1


class Sklearn:
    """scikit-learn's own network, with its own initial weights. Its learning rate cannot follow a cosine."""

    def __init__(self, folder):
        self.train_x, self.train_y = rows(folder, "train")
        self.test_x, self.test_y = rows(folder, "test")

    def train(self, batch, epochs, threads, seed):
        from sklearn.neural_network import MLPClassifier
        from threadpoolctl import threadpool_limits

        model = MLPClassifier(
            hidden_layer_sizes=(HIDDEN,),
            solver="sgd",
            alpha=0.0,
            batch_size=batch,
            learning_rate_init=LEARNING_RATE,
            momentum=MOMENTUM,
            nesterovs_momentum=False,
            max_iter=epochs,
            n_iter_no_change=epochs + 1,
            random_state=seed,
        )
        with threadpool_limits(threads), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns that so few epochs do not converge
            start = time.perf_counter()
            model.fit(self.train_x, self.train_y)
            seconds = time.perf_counter() - start
        return seconds, float(model.score(self.test_x, self.test_y))


def main():
    name, folder = sys.argv[1], Path(sys.argv[2])
    peer = {"torch": Torch, "sklearn": Sklearn}[name](folder)
    gc.disable()
    for line in sys.stdin:
        seconds, accuracy = peer.train(**json.loads(line))
        print(json.dumps({"seconds": seconds, "accuracy": accuracy}), flush=True)
        gc.collect()


if __name__ == "__main__":
    main()
