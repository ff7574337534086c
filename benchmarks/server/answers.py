"""The canned answers of the Clarifai protocol, and the ports that give them."""

from __future__ import annotations

from benchmarks.server import Port
from headrace.v2 import resources_pb2 as pb
from headrace.v2 import service_pb2 as rpc
from headrace.v2 import status_pb2

TOKENS = 200  # messages of a burst
PACED_TOKENS = 100  # messages of a paced stream
INTERVAL_MS = 20  # between them
SLOW_MS = 100  # what the slow server takes for an answer

SUCCESS = status_pb2.Status(code=status_pb2.SUCCESS, description="Ok", req_id="canned")
ENVELOPE = rpc.MultiOutputResponse(status=SUCCESS).SerializeToString()
#: What one input is answered with: a text and five concepts, as the `outputs` field of a response.
OUTPUT = rpc.MultiOutputResponse(
    outputs=[
        pb.Output(
            status=status_pb2.Status(code=status_pb2.SUCCESS),
            data=pb.Data(
                text=pb.Text(raw="five words that answer it"),
                concepts=[pb.Concept(id=f"ai_{i}", name=f"concept {i}", value=1 / (i + 1)) for i in range(5)],
            ),
        )
    ]
).SerializeToString()
#: What a token stream consists of.
TOKEN = rpc.MultiOutputResponse(
    status=SUCCESS,
    outputs=[pb.Output(status=status_pb2.Status(code=status_pb2.SUCCESS), data=pb.Data(text=pb.Text(raw="word ")))],
).SerializeToString()


def clarifai() -> dict[str, Port]:
    """Make the ports that answer as Clarifai does."""
    return {
        "unary": Port("unary", ENVELOPE, OUTPUT),
        "duplex": Port("duplex", ENVELOPE, OUTPUT),
        "burst": Port("server_stream", TOKEN, messages=TOKENS),
        "paced": Port("server_stream", TOKEN, messages=PACED_TOKENS, interval_ms=INTERVAL_MS),
        "slow_unary": Port("unary", ENVELOPE, OUTPUT, delay_ms=SLOW_MS),
        "slow_duplex": Port("duplex", ENVELOPE, OUTPUT, delay_ms=SLOW_MS),
    }


def canned(answer: bytes) -> dict[str, Port]:
    """Make the ports that answer everything with the same bytes."""
    return {
        "unary": Port("unary", answer),
        "duplex": Port("duplex", answer),
        "burst": Port("server_stream", answer, messages=TOKENS),
        "paced": Port("server_stream", answer, messages=PACED_TOKENS, interval_ms=INTERVAL_MS),
    }
