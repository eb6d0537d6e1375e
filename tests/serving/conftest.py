from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.inference import graphs, toy
from tests.serving.servers import Server, serving
from turnwise.demo import BUILTIN_DEMO, model_folder


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the model that comes with Turnwise, of the same with a template that shows tools, and an encoder."""
    shows = tmp_path_factory.mktemp("models") / "tools"
    shutil.copytree(model_folder(BUILTIN_DEMO), shows)
    path = shows / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": toy.SHOWS_TOOLS}))
    encoder = graphs.write_encoder(shows.parent / "encoder")
    with serving(BUILTIN_DEMO, shows, Path(encoder)) as started:
        yield started


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[openai.OpenAI]:
    """The real client of the API, which tries nothing twice."""
    with openai.OpenAI(base_url=server.url, api_key="none", max_retries=0) as made:
        yield made
