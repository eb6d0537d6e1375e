"""Contents of one turn: those that it puts, and the parts that it reads of those that it was given."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from turnwise.core.contents import (
    Content,
    Kept,
    Malformed,
    Piece,
    Reply,
    counted_bytes,
    get_reply,
    get_request,
    handed_over,
    handle_of,
    handles_in,
    put_reply,
)
from turnwise.core.effects_budget import EffectsBudget
from turnwise.core.envelope import error_reply
from turnwise.core.events import Keep
from turnwise.core.state import AgentState
from turnwise.core.turn import EffectRequest


class TurnContents:
    """Contents that a turn has put and read so far. `given` are the contents of the run, by handle."""

    __slots__ = ("_agent", "_given", "_head", "_pieces", "_put", "_round", "put_bytes")

    def __init__(self, agent: AgentState, round_: int, head: bytes, given: Mapping[str, Kept]) -> None:
        """`head` is the run's head before the round: handles follow from it."""
        self.put_bytes = 0
        self._agent = agent
        self._round = round_
        self._head = head
        self._given = given
        self._put: dict[str, Kept] = {}
        self._pieces: dict[int, Piece] = {}

    def __bool__(self) -> bool:
        """True if the turn has put or read any."""
        return bool(self._put or self._pieces)

    def knows(self, handle: str) -> bool:
        """Return whether a handle is one of a content that there is for this turn."""
        return self._known(handle) is not None

    def knows_all(self, request: EffectRequest) -> bool:
        """Return whether there are all contents that a request to a model names."""
        return all(map(self.knows, handles_in(request.body)))

    def put(self, content: Content, index: int, stream: bytes) -> tuple[str, Keep | None]:
        """Keep a content, if the turn may put so much; the reply, and what is to be done."""
        bytes_max = self._agent.kind.limits.put_bytes_max
        if self.put_bytes + counted_bytes(len(content)) > bytes_max:
            message = f"contents that this turn puts come to more than {bytes_max:,} bytes (`put_mib` of its kind)"
            return error_reply("refused", message), None
        self.put_bytes += counted_bytes(len(content))
        content_hash = sha256(content).hexdigest()
        kept = Kept(content_hash, len(content), self._round, self._agent.place, index)
        handle = handle_of(self._head, stream, content_hash, len(content))
        self._put[handle] = kept
        return put_reply(handle), Keep(kept, content)

    def get(self, body: str, index: int, budget: EffectsBudget | None) -> str | None:
        """Give a part of a content; None if it is more than the turn's effects may come to."""
        try:
            handle, start, length = get_request(body)
        except Malformed as error:
            return error_reply("refused", str(error))
        kept = self._known(handle)
        if kept is None:
            return self.unknown()
        start = min(start, kept.size)
        piece = Piece(kept, start, min(kept.size - start, kept.size if length is None else length))
        if budget is not None and not budget.request(piece.length):
            return None
        self._pieces[index] = piece
        return get_reply(piece)

    def inputs_of(self, request: EffectRequest) -> tuple[tuple[str, Kept], ...]:
        """The contents that a request to a model names, of which there are all."""
        if request.kind not in ("infer", "embed"):
            return ()
        contents = [(handle, self._known(handle)) for handle in handles_in(request.body)]
        return tuple([(handle, kept) for handle, kept in contents if kept is not None])

    def handed_over(self, index: int, reply: str) -> Reply:
        """The reply to an effect as it is handed to the sandbox: with the part that was read."""
        piece = self._pieces.get(index)
        return reply if piece is None else handed_over(piece)

    def unknown(self) -> str:
        """The reply to a handle that the agent was not given."""
        return error_reply("denied", f"{self._agent.name} was given no content with this handle")

    def cannot_wait(self) -> str:
        """The reply to a question of a turn that has put or read contents: what it has would have to be kept."""
        message = (
            f"{self._agent.name} has put or read contents in this turn, so it cannot wait for people: ask in another"
        )
        return error_reply("refused", message)

    def _known(self, handle: str) -> Kept | None:
        return self._put.get(handle) or self._given.get(handle)
