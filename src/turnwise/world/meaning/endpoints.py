"""Models behind URLs, checked: none without the world's leave, and no key in the clear."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

from turnwise.world.limits import ENDPOINT_NAME_CHARS_MAX, URL_CHARS_MAX
from turnwise.world.names import fault
from turnwise.world.problems import KeyPath, Problems, said
from turnwise.world.written.types import PROVIDER_DEFAULT, URL_KEYS, Description, EndpointTask, Model

SECONDS_MAX_DEFAULT: Final = 300
REQUESTS_AT_ONCE_DEFAULT: Final = 8
REPLY_KIB_DEFAULT: Final = 4_096

_KEY: Final = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]{0,127}")
_OF_FOLDERS: Final = {
    "path": None,
    "provider": PROVIDER_DEFAULT,
    "require": False,
    "variant": None,
    "accuracy_level": None,
    "context_tokens_max": None,
    "batching": None,
    "multiplications_max": None,
    "reproducible": True,
}
"""Keys of models that are loaded here, with what they are where nobody has written them."""


@dataclass(frozen=True, slots=True)
class ResolvedEndpoint:
    """A model behind a URL, checked. Members without a word here are those of `Model`."""

    name: str
    """Name of the model in the world."""
    url: str
    """Address of the API, without a slash at its end."""
    model: str
    task: EndpointTask
    key: str | None
    seconds_max: int
    requests_at_once: int
    reply_bytes_max: int
    """Bytes of an answer."""


def endpoints(world: Description, problems: Problems) -> Iterator[ResolvedEndpoint]:
    """Yield the models behind URLs in order of name."""
    for name, model in sorted(world.models.items()):
        path = ("models", name)
        if model.url is None:
            for key in URL_KEYS:
                if getattr(model, key) is not None:
                    problems.add((*path, key), "is for a model behind a url", 'Leave it out, or write url = "…".')
            continue
        wrong = fault(name)
        if wrong is not None:
            problems.add(path, *wrong)
        if problems.at(path):
            continue
        found = _endpoint(name, model, world, problems)
        if found is not None:
            yield found


def _endpoint(name: str, model: Model, world: Description, problems: Problems) -> ResolvedEndpoint | None:
    path: KeyPath = ("models", name)
    if not world.network:
        hint = "Write network = true under [world], if what agents ask it may leave this program."
        problems.add((*path, "url"), "asks another program over the network, which the world does not allow", hint)
    for key, usual in _OF_FOLDERS.items():
        if getattr(model, key) != usual:
            problems.add((*path, key), "has no meaning for a model behind a url", "Leave it out.")
    if model.task == "infer":
        problems.add((*path, "task"), "is infer, which no url answers", 'Write task = "generate" or task = "embed".')
    url = _url(model.url or "", (*path, "url"), problems)
    if not model.model or not model.model.isprintable() or len(model.model) > ENDPOINT_NAME_CHARS_MAX:
        problems.add((*path, "model"), f"is {said(model.model)}", "Write the name of the model behind the url.")
    if model.key is not None and not _KEY.fullmatch(model.key):
        hint = 'Write key = "env:NAME": the key is the value of that variable, and stands nowhere else.'
        problems.add((*path, "key"), "is no reference of a key", hint)
    elif model.key is not None and url is not None and url.scheme == "http" and not _is_here(url.hostname or ""):
        problems.add((*path, "key"), "would be sent in the clear", "Write https:// in url, or leave the key out.")
    if url is None or model.task == "infer":
        return None
    return ResolvedEndpoint(
        name=name,
        url=url.geturl().rstrip("/"),
        model=model.model or "",
        task=model.task or "generate",
        key=model.key,
        seconds_max=model.seconds_max or SECONDS_MAX_DEFAULT,
        requests_at_once=model.requests_at_once or REQUESTS_AT_ONCE_DEFAULT,
        reply_bytes_max=(model.reply_kib or REPLY_KIB_DEFAULT) * 1024,
    )


def _url(text: str, path: KeyPath, problems: Problems) -> SplitResult | None:
    hint = 'Write the address of the API: url = "http://127.0.0.1:11434/v1".'
    try:
        url = urlsplit(text)
        is_known = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        is_known = False
    if not is_known or not (text.isascii() and text.isprintable() and " " not in text) or len(text) > URL_CHARS_MAX:
        problems.add(path, f"is {said(text)}, which is no address of an API", hint)
        return None
    if url.query or url.fragment or "?" in text or "#" in text:
        problems.add(path, "has a query or a fragment", hint)
        return None
    if "@" in url.netloc:
        problems.add(path, "has a name or a password in it", 'Write key = "env:NAME" for a key.')
        return None
    return url


def _is_here(host: str) -> bool:
    """Return whether a host is this machine, so that nobody on the way can read what it is sent."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
