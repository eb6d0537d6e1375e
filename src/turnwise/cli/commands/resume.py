"""`turnwise resume`: go on with a run that was stopped, or that crashed."""

from __future__ import annotations

from turnwise.cli.commands.options import JournalFile, Json, Log, Models, Workers, log_choice, model_folders
from turnwise.cli.output import Output


def resume(
    journal: JournalFile, workers: Workers = None, model: Models = None, log: Log = "info", json: Json = False
) -> int:
    """Go on with a run that was stopped or has crashed.

    It comes to the same head as if nothing had happened. A run that has ended already is only summarized.
    """
    models, level = model_folders(model), log_choice(log)
    import turnwise
    from turnwise.cli.playing import play_and_tell, tell
    from turnwise.journal.run import Run

    with Run.open(journal) as run:
        if run.status != "open":
            Output.err().line("This run has ended already; there is nothing to go on with.")
            return tell(run, as_json=json)
        world = run.world_name
    return play_and_tell(turnwise.resume(journal, workers=workers, models=models), world, log=level, as_json=json)
