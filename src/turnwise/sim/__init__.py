"""The simulator: agents and models as Python functions, the rest as it runs for real, and time that is none.

`simulate` drives the core alone. `Simulator` runs the whole orchestrator on a simulated machine: `lives` plays the
lives of a run and checks them; `machine` has its edges (`child` with the programs `worker` and `engine`, `disk`, the
clocks); `tools` are the servers of tools, `outside` what they have done; `virtual_time` is the event loop; `faults` and
`chance` decide what goes wrong; `checks` say what never may, and `recorded` plays a run again from its record.
"""

from turnwise.sim.behaviour import Answer, Behaviour, Effect
from turnwise.sim.checks import Violation
from turnwise.sim.faults import Faults
from turnwise.sim.lives import Simulated
from turnwise.sim.plans import plan_of
from turnwise.sim.simulation import Simulator
from turnwise.sim.simulator import Simulation, simulate
from turnwise.sim.tools import Tool, ToolCalled

__all__ = [
    "Answer",
    "Behaviour",
    "Effect",
    "Faults",
    "Simulated",
    "Simulation",
    "Simulator",
    "Tool",
    "ToolCalled",
    "Violation",
    "plan_of",
    "simulate",
]
