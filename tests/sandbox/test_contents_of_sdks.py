"""Contents by the SDKs: the same bytes put, sent and read in three languages, and the older form beside the newer."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import turnwise
from turnwise import Agent, Grants, World

ROOT = Path(__file__).parents[2]
CONTENT = bytes(range(256)) * 20
SHA256 = hashlib.sha256(CONTENT).hexdigest()

PYTHON = """
def turn(t):
    if not t.inbox:
        t.send("reader", "read", attach=t.put(bytes(range(256)) * 20))
        t.put(b"")
        t.put(bytearray(b"more"))
        return
    (message,) = t.inbox
    content = t.get(message.attach)
    try:
        t.get("nothing-1")
    except EffectError as error:
        kind = error.kind
    part, end = t.get(message.attach, 250, 10), t.get(message.attach, 5119, 10)
    t.state = {"bytes": len(content), "sum": sum(content), "part": part.hex(), "end": end.hex(), "kind": kind}
"""
JAVASCRIPT = """
import { EffectError } from "turnwise";

export function turn(t) {
  if (t.inbox.length === 0) {
    t.send("reader", "read", { attach: t.put(Uint8Array.from({ length: 5120 }, (_, index) => index % 256)) });
    t.put(new ArrayBuffer(0));
    t.put(new Uint16Array([28525, 25970]).subarray(0));
    return;
  }
  const [{ attach }] = t.inbox;
  const content = t.get(attach);
  let kind;
  try {
    t.get("nothing-1");
  } catch (error) {
    kind = error instanceof EffectError && error.kind;
  }
  t.state = {
    bytes: content.length,
    sum: content.reduce((sum, each) => sum + each),
    part: t.get(attach, { start: 250, length: 10 }).toHex(),
    end: new Uint8Array(t.get(attach, { start: 5119, length: 10 }).buffer.transfer(100000), 0, 1).toHex(),
    kind,
  };
}
"""
C = r"""
#include "turnwise.h"

static char content[5120];

static void add_hex(tw_out *out, tw_text bytes) {
  static const char digits[] = "0123456789abcdef";
  tw_add(out, tw_literal("\""));
  for (uint32_t i = 0; i < bytes.length; i++) {
    uint8_t byte = (uint8_t)bytes.at[i];
    char pair[] = {digits[byte >> 4], digits[byte & 15]};
    tw_add(out, (tw_text){pair, 2});
  }
  tw_add(out, tw_literal("\""));
}

void turn(tw_turn *t) {
  tw_text message;
  if (!tw_next_message(t, &message)) {
    for (uint32_t i = 0; i < sizeof content; i++) content[i] = (char)i;
    tw_send_attached(t, tw_literal("reader"), tw_literal("read"), tw_put((tw_text){content, sizeof content}));
    tw_put(tw_literal(""));
    tw_put(tw_literal("more"));
    return;
  }
  tw_text handle = tw_string(tw_member(message, "attach"));
  tw_text all = tw_get(handle, 0, 100000);
  int64_t sum = 0;
  for (uint32_t i = 0; i < all.length; i++) sum += (uint8_t)all.at[i];
  tw_out out = {0};
  tw_add(&out, tw_literal("{\"bytes\":"));
  tw_add_int(&out, all.length);
  tw_add(&out, tw_literal(",\"sum\":"));
  tw_add_int(&out, sum);
  tw_add(&out, tw_literal(",\"part\":"));
  add_hex(&out, tw_get(handle, 250, 10));
  tw_add(&out, tw_literal(",\"end\":"));
  add_hex(&out, tw_get(handle, 5119, 10));
  tw_add(&out, tw_literal(",\"kind\":"));
  tw_add_string(&out, tw_get(tw_literal("nothing-1"), 0, 1).at ? tw_literal("given") : tw_literal("denied"));
  tw_add(&out, tw_literal("}"));
  tw_set_state(t, tw_written(&out));
}
"""
READ = {
    "bytes": len(CONTENT),
    "sum": sum(CONTENT),
    "part": bytes([250, 251, 252, 253, 254, 255, 0, 1, 2, 3]).hex(),
    "end": "ff",
    "kind": "denied",
}

OLDER = """
import json
def turn(t):
    if not t.inbox:
        data = __import__("base64").b64encode(bytes(range(256)) * 20).decode()
        reply = json.loads(t._effect(json.dumps({"effects": [{"effect": "put", "data": data}]})))
        handle = reply["results"][0]["ok"]["handle"]
        t.send("reader", "read", attach=handle)
"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | bytes]:
    """The agent in each language."""
    folder = tmp_path_factory.mktemp("agents")
    (folder / "agent.c").write_text(C)
    flags = ["--target=wasm32-freestanding", "-O2", "-s", "-nostdlib", "-Wl,--no-entry", "-Wall", "-Wextra", "-Werror"]
    header = f"-I{ROOT / 'guests' / 'c'}"
    arguments = [sys.executable, "-m", "ziglang", "cc", *flags, header, "-o", "agent.wasm", "agent.c"]
    subprocess.run(arguments, cwd=folder, check=True)
    (folder / "agent.js").write_text(JAVASCRIPT)
    (folder / "agent.py").write_text(f"from turnwise_guest import EffectError\n{PYTHON}")
    (folder / "older.py").write_text(OLDER)
    return {path.name: str(path) for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("putter", "reader"),
    [("agent.py", "agent.js"), ("agent.js", "agent.wasm"), ("agent.wasm", "agent.py"), ("older.py", "agent.py")],
)
def test_one_puts_and_another_reads(tmp_path: Path, sources: dict[str, str], putter: str, reader: str) -> None:
    agents = {
        "putter": Agent(sources[putter], start=True, grants=Grants(send=["reader"])),
        "reader": Agent(sources[reader]),
    }
    world = World("contents", agents=agents, rounds_max=3)
    with turnwise.run(world, journal=tmp_path / "run.journal", workers=1) as run:
        assert [failure.failure for failure in run.failures] == []
        assert json.loads(run.state("reader")) == READ
        requests = [json.loads(effect.request) for turn in run.turns for effect in turn.effects if effect.kind == "put"]
        assert requests[0] == {"effect": "put", "bytes": len(CONTENT), "sha256": SHA256}
        if putter != "older.py":
            assert [one["sha256"] for one in requests[1:]] == [hashlib.sha256(b).hexdigest() for b in (b"", b"more")]
        run.check()
    assert turnwise.replay(tmp_path / "run.journal", workers=1).difference is None


def test_the_older_form_and_the_newer_are_the_same_run(tmp_path: Path) -> None:
    """Requests are recorded by size and hash, so nothing tells how the bytes came."""
    newer = OLDER.replace("reply = ", "handle = t.put(bytes(range(256)) * 20)\n        reply = ", 1)
    newer = "\n".join(line for line in newer.splitlines() if "reply" not in line and "b64" not in line)
    assert "t.put" in newer
    handles = []
    for name, source in (("older", OLDER), ("newer", newer)):
        world = World(
            "contents",
            agents={
                "putter": Agent(source, start=True, grants=Grants(send=["reader"])),
                "reader": Agent("def turn(t):\n    pass\n"),
            },
            rounds_max=2,
        )
        with turnwise.run(world, journal=tmp_path / f"{name}.journal", workers=1) as run:
            assert not list(run.failures)
            (effect,) = [effect for turn in run.turns for effect in turn.effects]
            handles.append(json.loads(effect.request))
    assert handles[0] == handles[1] == {"effect": "put", "bytes": len(CONTENT), "sha256": SHA256}
