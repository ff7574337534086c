"""headrace for code without async: the same names, and calls that wait.

::

    from headrace.blocking import Client

    with Client(pat="...") as client:
        model = client.model("https://clarifai.com/openai/chat-completion/models/gpt-4o")
        print(model.predict("Hello!", "text").text)
        for piece in model.generate("Tell me a story.", "text"):
            print(piece.text, end="")

Everything happens in one thread with one event loop, which starts with the first call. Threads may share a client, and
code inside a running event loop, such as a notebook's, may use it; it waits there, and the loop with it.
"""

from headrace.blocking.client import Client
from headrace.blocking.model import Model
from headrace.blocking.streams import FrameStream, MethodCall, PredictionStream, TokenStream

__all__ = ["Client", "FrameStream", "MethodCall", "Model", "PredictionStream", "TokenStream"]
