"""The simulator: the core of a run, driven without processes, sandboxes or models."""

from turnwise.sim.simulator import Behaviour, Effect, Simulation, simulate

__all__ = ["Behaviour", "Effect", "Simulation", "simulate"]
