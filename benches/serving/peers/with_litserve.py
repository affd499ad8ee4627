"""LitServe and ONNX Runtime: one worker on the processor, its fast queue, no batching, one HTTP server, no access log.

    python with_litserve.py MODEL.onnx
"""

import socket
import sys
import threading
import time
from urllib.error import URLError
from urllib.request import urlopen

import litserve

import peer


class Digits(litserve.LitAPI):
    def __init__(self, path):
        super().__init__()
        self.path = path

    def setup(self, device):
        self.model = peer.Model(self.path)

    def decode_request(self, request):
        return request["inputs"]

    def predict(self, rows):
        return self.model.predict(rows)

    def encode_response(self, predictions):
        return {"predictions": predictions}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def announce_when_ready(port):
    while True:
        try:
            with urlopen(f"http://127.0.0.1:{port}/health") as answer:
                if answer.status == 200:
                    return peer.announce(port)
        except URLError:
            pass
        time.sleep(0.05)


def main():
    peer.end_with_the_bench()
    port = free_port()
    threading.Thread(target=announce_when_ready, args=(port,), daemon=True).start()
    server = litserve.LitServer(Digits(sys.argv[1]), accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=port,
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
        access_log=False,
    )


if __name__ == "__main__":
    main()
