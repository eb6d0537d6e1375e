"""Everything that is wrong with a world, without a run."""

from __future__ import annotations

from typing import Unpack

from turnwise import world as worlds
from turnwise.api.playing import world_of
from turnwise.errors import Problem, WorldError
from turnwise.orchestrator.javascript_sources import javascript_problems
from turnwise.orchestrator.known_tools import known_tools, unknown_grants
from turnwise.orchestrator.loop_thread import run_alone
from turnwise.orchestrator.python_sources import python_problems
from turnwise.orchestrator.run_options import (
    WorldOptions,
    check_names,
    overrides_of,
)
from turnwise.orchestrator.run_sources import sources_of
from turnwise.orchestrator.tasks import wrong_tasks
from turnwise.orchestrator.tool_servers import settings_problems
from turnwise.orchestrator.ungranted import ungranted
from turnwise.sandbox.build.code import CodeError, prepare_each
from turnwise.sandbox.python import module_info
from turnwise.system.paths import StrPath
from turnwise.world.meaning.reachability import unreachable


def check(world: worlds.World | StrPath, **options: Unpack[WorldOptions]) -> list[Problem]:
    """Find everything that is wrong with a world without running it; sources are compiled. Empty if it is well.

    Warnings (`Problem.is_warning`) come last; a world that has nothing worse can be run. The options are those of
    `WorldOptions`, as `start` would have them.
    """
    check_names("check", options, WorldOptions)
    try:
        checked = world_of(world, overrides_of(options))
        resolved = checked.resolve()
    except WorldError as error:
        return list(error.problems)
    found = run_alone(prepare_each(list(sources_of(resolved).values())))
    codes = [error for error in found if isinstance(error, CodeError)]
    problems = [*wrong_tasks(checked), *settings_problems(checked.resolve())]
    problems += [Problem(error.where or "", error.message, error.hint or "") for error in codes]
    problems += python_problems(resolved, module_info().modules) + javascript_problems(resolved)
    known = known_tools(resolved)
    return problems + ungranted(resolved, known) + unknown_grants(resolved, known) + unreachable(resolved)
