"""FastAPI and ONNX Runtime, as their documentation has it: a session loaded in the lifespan, types for what is sent and
answered, uvicorn with uvloop and httptools, one worker, no access log.

    python with_fastapi.py MODEL.onnx

The model is asked on the event loop. Its answer takes microseconds, and a hop to a thread would take longer.
"""

import sys
from contextlib import asynccontextmanager

import numpy as np
import uvicorn
from fastapi import FastAPI, Request
from pydantic import BaseModel

import peer

model = None


@asynccontextmanager
async def lifespan(_):
    global model
    model = peer.Model(sys.argv[1])
    yield


app = FastAPI(lifespan=lifespan)


class Rows(BaseModel):
    inputs: list[list[int]]


class Prediction(BaseModel):
    label: int
    confidence: float
    probabilities: list[float]


class Answer(BaseModel):
    predictions: list[Prediction]


@app.post("/json")
async def from_json(rows: Rows) -> Answer:
    return {"predictions": model.predict(rows.inputs)}


@app.post("/u8")
async def from_bytes(request: Request) -> Answer:
    return {"predictions": model.predict(np.frombuffer(await request.body(), dtype=np.uint8))}


def main():
    peer.end_with_the_bench()
    config = uvicorn.Config(
        app, port=0, loop="uvloop", http="httptools", workers=1, log_level="warning", access_log=False
    )
    socket = config.bind_socket()
    # whoever comes before it serves waits
    socket.listen()
    peer.announce(socket.getsockname()[1])
    uvicorn.Server(config).run([socket])


if __name__ == "__main__":
    main()
