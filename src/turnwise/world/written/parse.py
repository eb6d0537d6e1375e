"""The shape of a document: which keys there are, of which type, within which bounds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from turnwise.core.plan import (
    AGENTS_MAX_DEFAULT,
    DELIVERIES_MAX_DEFAULT,
    EFFECTS_MAX_DEFAULT,
    FUEL_DEFAULT,
    MEMORY_MIB_DEFAULT,
    ROUNDS_MAX,
    SEED_MAX,
    InitialMessage,
)
from turnwise.world.limits import (
    AGENTS_EVER_MAX,
    AGENTS_MAX,
    BODY_BYTES_MAX,
    CONTENTS_MIB_DEFAULT,
    CONTENTS_MIB_MAX,
    CONTEXT_TOKENS_MAX,
    CONTEXT_TOKENS_MIN,
    DELIVERIES_MAX,
    EFFECTS_MAX,
    EFFECTS_MIB_DEFAULT,
    EFFECTS_MIB_MAX,
    ENDPOINT_SECONDS_MAX,
    FUEL_MAX,
    INBOX_MIB_DEFAULT,
    INBOX_MIB_MAX,
    KINDS_MAX,
    MEMORY_MIB_MAX,
    MESSAGES_MAX,
    MODELS_MAX,
    MULTIPLICATIONS_MAX,
    MULTIPLICATIONS_MIN,
    OUTPUT_MIB_DEFAULT,
    OUTPUT_MIB_MAX,
    PARK_AFTER_MS_MAX,
    PUT_MIB_DEFAULT,
    PUT_MIB_MAX,
    REPLY_KIB_MAX,
    REQUESTS_AT_ONCE_MAX,
    ROUND_SECONDS_MAX,
    ROUNDS_DEFAULT,
    SEND_MIB_DEFAULT,
    SEND_MIB_MAX,
    STATE_MIB_DEFAULT,
    STATE_MIB_MAX,
    SYSTEM_BYTES_MAX,
    TITLE_LENGTH_MAX,
    TOOL_SERVERS_MAX,
    TURN_SECONDS_MAX,
)
from turnwise.world.problems import KeyPath, Problems, said
from turnwise.world.written.document import Document
from turnwise.world.written.reader import Reader
from turnwise.world.written.tool_tables import call_grants, tool
from turnwise.world.written.types import (
    ACCURACY_LEVEL,
    BATCHINGS,
    PARK_AFTER_MS_DEFAULT,
    PROVIDER_DEFAULT,
    ROUND_SECONDS_DEFAULT,
    SEED_DEFAULT,
    TASKS,
    TIME_START_DEFAULT,
    TURN_SECONDS_DEFAULT,
    Agent,
    Description,
    Grants,
    Model,
    Source,
    SourceText,
)


def parse(document: Document, folder: str | os.PathLike[str] | None, problems: Problems) -> Description:
    """Read a document into typed parts. What is wrong is reported and replaced by its default."""
    top = Reader(document, (), problems)
    world = Reader(top.value("world") if top.present("world") else {}, ("world",), problems)
    settings = Description(
        name=_title(world),
        seed=world.integer("seed", SEED_DEFAULT, 0, SEED_MAX),
        schedule=world.choice("schedule", "rounds", ("rounds", "sequential")),
        rounds_max=world.integer("rounds_max", ROUNDS_DEFAULT, 1, ROUNDS_MAX),
        agents_max=world.integer("agents_max", AGENTS_MAX_DEFAULT, 1, AGENTS_EVER_MAX),
        contents_mib=world.integer("contents_mib", CONTENTS_MIB_DEFAULT, 1, CONTENTS_MIB_MAX),
        on_failure=world.choice("on_failure", "continue", ("continue", "stop")),
        time_start=world.instant("time_start", TIME_START_DEFAULT),
        round_seconds=world.number("round_seconds", ROUND_SECONDS_DEFAULT, 0, ROUND_SECONDS_MAX),
        park_after_ms=world.integer("park_after_ms", PARK_AFTER_MS_DEFAULT, 0, PARK_AFTER_MS_MAX),
        turn_seconds_max=world.integer("turn_seconds_max", TURN_SECONDS_DEFAULT, 1, TURN_SECONDS_MAX),
        network=world.boolean("network", False),
        folder=folder,
    )
    world.close()
    description = replace(
        settings,
        models={name: _model(reader) for name, reader in _named(top, "models", MODELS_MAX)},
        tools={name: tool(reader) for name, reader in _named(top, "tools", TOOL_SERVERS_MAX)},
        agents={name: _agent(reader) for name, reader in _named(top, "agents", KINDS_MAX)},
        messages=_messages(top.value("messages"), problems),
    )
    top.close()
    return description


def _title(world: Reader) -> str:
    name = world.text("name", example='"my-world"')
    path = (*world.path, "name")
    if world.problems.at(path) or world.problems.at(world.path):
        return name
    if not 1 <= len(name) <= TITLE_LENGTH_MAX:
        hint = f"Write a name of 1 to {TITLE_LENGTH_MAX} characters."
        world.problems.add(path, f"is {len(name)} characters long", hint)
    elif not name.isprintable() or name != name.strip():
        hint = "Write a name on one line, without control characters and without spaces around it."
        world.problems.add(path, f"is {said(name)}", hint)
    return name


def _named(top: Reader, key: str, entries_max: int) -> list[tuple[str, Reader]]:
    """Return the tables in a table whose keys the user chose."""
    if not top.present(key):
        top.value(key)
        return []
    tables = Reader(top.value(key), (key,), top.problems)
    if tables.count() > entries_max:
        top.problems.add((key,), f"has {tables.count()} entries", f"At most {entries_max} are allowed.")
        return []
    readers = [(name, Reader(value, (key, name), top.problems)) for name, value in tables.entries()]
    tables.close()
    return readers


def _model(reader: Reader) -> Model:
    path, is_behind_url = reader.file("path"), reader.present("url")
    if path is None and not reader.present("path") and not is_behind_url:
        reader.missing("path", '"../models/…"')
    model = Model(
        path=path if is_behind_url else path or "",
        url=reader.text("url", "", example='"http://127.0.0.1:11434/v1"') if is_behind_url else reader.value("url"),
        model=reader.text("model", None if is_behind_url else "", example='"qwen3:4b"') or None,
        key=reader.text("key", "", example='"env:API_KEY"') or None,
        seconds_max=reader.integer_or_none("seconds_max", 1, ENDPOINT_SECONDS_MAX),
        requests_at_once=reader.integer_or_none("requests_at_once", 1, REQUESTS_AT_ONCE_MAX),
        reply_kib=reader.integer_or_none("reply_kib", 1, REPLY_KIB_MAX),
        provider=reader.text("provider", PROVIDER_DEFAULT, example=f'"{PROVIDER_DEFAULT}"'),
        require=reader.boolean("require", False),
        variant=reader.text("variant", "", example='"q4"') or None,
        task=reader.choice_or_none("task", TASKS),
        accuracy_level=_accuracy_level(reader),
        context_tokens_max=reader.integer_or_none("context_tokens_max", CONTEXT_TOKENS_MIN, CONTEXT_TOKENS_MAX),
        batching=reader.choice_or_none("batching", BATCHINGS),
        multiplications_max=reader.integer_or_none("multiplications_max", MULTIPLICATIONS_MIN, MULTIPLICATIONS_MAX),
        reproducible=reader.boolean("reproducible", True),
        kv_window=reader.boolean("kv_window", False),
    )
    reader.close()
    return model


def _accuracy_level(reader: Reader) -> int | None:
    """Return the one level that there is to choose, or None."""
    value = reader.value("accuracy_level")
    if value is not None and (isinstance(value, bool) or value != ACCURACY_LEVEL):
        hint = f"Write accuracy_level = {ACCURACY_LEVEL}, or leave it out for the graph's own."
        reader.problems.add((*reader.path, "accuracy_level"), f"is {said(value)}", hint)
        return None
    return None if value is None else ACCURACY_LEVEL


def _agent(reader: Reader) -> Agent:
    agent = Agent(
        source=_source(reader),
        count=reader.integer_or_none("count", 0, AGENTS_MAX),
        table=reader.file("table"),
        columns=reader.texts("columns", example='["budget"]'),
        args=_args(reader),
        state=_state(reader),
        start=reader.boolean("start", False),
        groups=reader.texts("groups", example='["writers"]'),
        grants=_grants(reader),
        system=_system(reader),
        fuel=reader.integer("fuel", FUEL_DEFAULT, 1, FUEL_MAX),
        memory_mib=reader.integer("memory_mib", MEMORY_MIB_DEFAULT, 1, MEMORY_MIB_MAX),
        output_mib=reader.integer("output_mib", OUTPUT_MIB_DEFAULT, 1, OUTPUT_MIB_MAX),
        effects_max=reader.integer("effects_max", EFFECTS_MAX_DEFAULT, 0, EFFECTS_MAX),
        effects_mib=reader.integer("effects_mib", EFFECTS_MIB_DEFAULT, 1, EFFECTS_MIB_MAX),
        put_mib=reader.integer("put_mib", PUT_MIB_DEFAULT, 1, PUT_MIB_MAX),
        state_mib=reader.integer("state_mib", STATE_MIB_DEFAULT, 1, STATE_MIB_MAX),
        inbox_mib=reader.integer("inbox_mib", INBOX_MIB_DEFAULT, 1, INBOX_MIB_MAX),
        send_mib=reader.integer("send_mib", SEND_MIB_DEFAULT, 1, SEND_MIB_MAX),
        deliveries_max=reader.integer("deliveries_max", DELIVERIES_MAX_DEFAULT, 1, DELIVERIES_MAX),
    )
    reader.close()
    return agent


def _source(reader: Reader) -> Source:
    if not reader.present("source"):
        reader.value("source")
        reader.missing("source", '"agent.py"')
        return ""
    value = reader.value("source")
    if isinstance(value, bytes):
        return value
    if callable(value):
        function: Source = value
        return function
    if isinstance(value, SourceText):
        return SourceText(reader.text("source", example='"agent.py"'))
    return reader.file("source") or ""


def _args(reader: Reader) -> Mapping[str, Any] | Sequence[Mapping[str, Any]]:
    """A table for all agents, or a list of tables one by one. What they hold is checked when it becomes text."""
    value = reader.value("args")
    path = (*reader.path, "args")
    if value is None or isinstance(value, Mapping):
        return value or {}
    if not isinstance(value, list | tuple):
        hint = 'Write args = { mood = "cheerful" }, or a list of such tables, one for each agent.'
        reader.problems.add(path, f"must be a table or a list of tables, and is {said(value)}", hint)
        return {}
    for index, item in enumerate(value):
        if not isinstance(item, Mapping):
            hint = 'In a list of args, each entry is the table of one agent: { mood = "cheerful" }.'
            reader.problems.add((*path, index), f"must be a table, and is {said(item)}", hint)
    return value


def _state(reader: Reader) -> Mapping[str, Any] | str | None:
    value = reader.value("state")
    if value is None or isinstance(value, Mapping):
        return value
    if not isinstance(value, str):
        hint = "Write state = { told = 0 }, or a text that the agent reads itself."
        reader.problems.add((*reader.path, "state"), f"must be a table or a text, and is {said(value)}", hint)
        return None
    return reader.text("state", "", example='"…"')


def _system(reader: Reader) -> str:
    system = reader.text("system", "", example='"You are a trader. Be brief."')
    if len(system.encode()) > SYSTEM_BYTES_MAX:
        hint = f"At most {SYSTEM_BYTES_MAX} bytes are allowed: it is a part of every conversation."
        reader.problems.add((*reader.path, "system"), "is too long", hint)
    return system


def _grants(reader: Reader) -> Grants:
    if not reader.present("grants"):
        reader.value("grants")
        return Grants()
    table = Reader(reader.value("grants"), (*reader.path, "grants"), reader.problems)
    grants = Grants(
        generate=table.texts("generate", example='["storyteller"]'),
        send=table.texts("send", example='["editor"]'),
        spawn=table.texts("spawn", example='["helper"]'),
        stop=table.texts("stop", example='["helper-*"]'),
        infer=table.texts("infer", example='["policy"]'),
        embed=table.texts("embed", example='["encoder"]'),
        finish=table.boolean("finish", False),
        run_python=table.boolean("run_python", False),
        ask=table.boolean("ask", False),
        call=call_grants(table),
    )
    table.close()
    return grants


def _messages(value: object, problems: Problems) -> tuple[InitialMessage, ...]:
    path: KeyPath = ("messages",)
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        hint = 'Write each message as a table of its own: [[messages]], then to = "…" and body = "…".'
        problems.add(path, f"must be a list of tables, and is {said(value)}", hint)
        return ()
    if len(value) > MESSAGES_MAX:
        problems.add(path, f"has {len(value)} entries", f"At most {MESSAGES_MAX} are allowed: send to a group.")
        return ()
    return tuple(_message(Reader(item, ("messages", index), problems)) for index, item in enumerate(value))


def _message(reader: Reader) -> InitialMessage:
    message = InitialMessage(to=reader.text("to", example='"editor"'), body=reader.text("body", example='"Hello."'))
    if len(message.body.encode()) > BODY_BYTES_MAX:
        hint = f"At most {BODY_BYTES_MAX} bytes are allowed in one message."
        reader.problems.add((*reader.path, "body"), "is too long", hint)
    reader.close()
    return message
