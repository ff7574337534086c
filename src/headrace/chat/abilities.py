"""What a model can do in a conversation, as far as its server says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.errors import InvalidRequest, PredictionFailed
from headrace.support.later import later

if TYPE_CHECKING:
    from headrace.methods.signatures import Method
    from headrace.model import Model
else:
    Model = later("headrace.model", "Model")

#: The methods of models that speak OpenAI's API themselves.
TRANSPORT, STREAM_TRANSPORT = "openai_transport", "openai_stream_transport"


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a model takes and gives.

    Attributes:
        inputs: the types that it takes, () if the server does not say.
        outputs: what it answers with, () alike.
        parameters: the inference parameters that it publishes, None if it publishes no methods.
        methods: the names of its methods, () if it publishes none.
    """

    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    parameters: frozenset[str] | None = None
    methods: frozenset[str] = frozenset()

    @property
    def streams(self) -> bool:
        """Whether it can answer piece by piece, as far as is known."""
        return not self.methods or "generate" in self.methods

    @property
    def speaks_openai(self) -> bool:
        """Whether it takes requests of OpenAI's API as they are: tools, structured output, all kinds of content."""
        return TRANSPORT in self.methods or STREAM_TRANSPORT in self.methods

    def takes(self, parameter: str) -> bool:
        """Whether it publishes an inference parameter of that name."""
        return self.parameters is not None and parameter in self.parameters

    def accepts(self, input_type: str) -> bool:
        """Whether it takes a type of input, as far as is known."""
        return not self.inputs or input_type in self.inputs

    def gives(self, output: str) -> bool:
        """Whether it answers with this, as far as is known."""
        return not self.outputs or output in self.outputs


async def abilities_of(model: Model) -> Abilities:
    """Look up what a model can do; the client remembers the answers.

    Raises:
        HeadraceError: the server cannot be reached, refuses, or has no such model.
    """
    methods: tuple[Method, ...] = ()
    try:
        methods = await model.methods()
    except (InvalidRequest, PredictionFailed):  # a model without methods took the question for them as its input
        pass
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    try:
        info = await model.info()
        inputs, outputs = info.input_fields or (), info.output_fields or ()
    except InvalidRequest as error:  # a bare model runner knows of no models
        if error.name != "UNIMPLEMENTED":
            raise
    parameters = frozenset(p.name for m in methods if m.name in ("predict", "generate") for p in m.parameters)
    return Abilities(inputs, outputs, parameters if methods else None, frozenset(method.name for method in methods))


__all__ = ["STREAM_TRANSPORT", "TRANSPORT", "Abilities", "abilities_of"]
