"""Access to the page that answers: only who has its token, only by the names that it serves, only its own pages."""

from __future__ import annotations

from typing import Final

from starlette.requests import HTTPConnection

from turnwise.monitor.access import PageAccess

ANSWER_PATH: Final = "/api/answer"
"""The one address that takes anything."""
_SCHEME: Final = "bearer"


class AnswerAccess(PageAccess):
    """Access to the page that answers.

    The token stands behind the `#` of the address that is printed, which a browser sends to nobody. The page keeps it
    for its tab, and sends it with each question and answer in the header `Authorization`. A cookie would go to whatever
    else listens on a port of this machine, another user's too, and whoever can read the monitor can only read; who has
    this token answers in somebody's name.
    """

    def refusal(self, connection: HTTPConnection) -> str | None:
        """Return the reason for which a request is refused, or None. The page's files tell nothing of a run."""
        method, path = connection.scope["method"], connection.scope["path"]
        if method not in ("GET", "HEAD") and (method, path) != ("POST", ANSWER_PATH):
            return "Here one can read, and answer."
        if not path.startswith("/api/"):
            return None
        scheme, _, given = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() != _SCHEME or not self.is_token(given):
            return "The page's token is missing. Open the address that it printed, with all that stands behind it."
        return None
