"""`turnwise models bench`: how fast a model runs here."""

from __future__ import annotations

from turnwise.cli.commands.models.options import ModelFolder, Provider, Variant
from turnwise.cli.commands.options import Json
from turnwise.cli.errors import DONE
from turnwise.cli.output import Output, bold, dim
from turnwise.cli.progress import doing
from turnwise.cli.text import count, json_text

LABEL_COLUMNS = 15


def bench(path: ModelFolder, variant: Variant = None, provider: Provider = "auto", json: Json = False) -> int:
    """Measure a model for some seconds.

    Prompt tokens a second, and what a step takes with one sequence and with several that share it. What else runs on
    the machine shows in the figures.
    """
    from turnwise.inference.load import load_model
    from turnwise.inference.measure import measure
    from turnwise.inference.model import ModelSpec

    with doing(Output.err(), "measuring the model"):
        model = load_model(ModelSpec(path.name, path, provider, variant=variant))
        speed = measure(model.decoder)
    info = model.info
    output = Output.err() if json else Output.out()
    output.line(bold(str(path)), f" on {info.provider}, {count(info.threads, 'thread')}")
    output.line(dim("load".ljust(LABEL_COLUMNS)), f"{info.load_ms:,.0f} ms", indent=2)
    prompt = f"{speed.prompt_tokens_per_s:,.0f} tokens/s ({speed.prompt_tokens} tokens)"
    output.line(dim("prompt".ljust(LABEL_COLUMNS)), prompt, indent=2)
    for rows, step in speed.step_ms.items():
        label = count(rows, "sequence").ljust(LABEL_COLUMNS)
        output.line(dim(label), f"{rows * 1000 / step:,.0f} tokens/s ({step:.2f} ms a step)", indent=2)
    if json:
        steps = {str(rows): step for rows, step in speed.step_ms.items()}
        figures = {
            "path": str(path),
            "provider": info.provider,
            "threads": info.threads,
            "sha256": info.sha256,
            "load_ms": info.load_ms,
            "prompt_tokens": speed.prompt_tokens,
            "prompt_tokens_per_s": speed.prompt_tokens_per_s,
            "step_ms": steps,
        }
        Output.out().write(json_text(figures) + "\n")
    return DONE
