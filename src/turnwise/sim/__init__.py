"""The simulator: agents and models as Python functions, the rest as it runs for real, and time that is none.

`simulate` drives the core alone. `Simulator` runs the whole orchestrator on a simulated machine: `simulation` plays the
lives of a run and checks them; `machine` has its edges (`child` with the programs `worker` and `engine`, `disk`, the
clocks); `virtual_time` is the event loop; `faults` and `chance` decide what goes wrong; `checks` say what never may.
"""

from turnwise.sim.behaviour import Answer, Behaviour, Effect
from turnwise.sim.checks import Violation
from turnwise.sim.faults import Faults
from turnwise.sim.plans import plan_of
from turnwise.sim.simulation import Simulated, Simulator
from turnwise.sim.simulator import Simulation, simulate

__all__ = [
    "Answer",
    "Behaviour",
    "Effect",
    "Faults",
    "Simulated",
    "Simulation",
    "Simulator",
    "Violation",
    "plan_of",
    "simulate",
]
