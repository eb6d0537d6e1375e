"""Tensors on a device whose memory has no addresses: each is one buffer, which is bound and copied as a whole.

What lies in a part of one is copied by a graph that runs on the same device. `CUDA` has addresses and needs none of
this (`device`).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, Protocol

import numpy as np

from turnwise.errors import EnvironmentFailure
from turnwise.inference.onnx.provider_names import short
from turnwise.inference.onnx.runtime import RUNTIME_ERRORS, Session, first_line, ort

Tensor = Any
"""An `onnxruntime.OrtValue`."""


class DeviceTensors(Protocol):
    """Memory of a device in whole tensors, and sessions that work there."""

    def allocate(self, shape: Sequence[int], dtype: np.dtype[Any]) -> Tensor:
        """Return a new tensor, of arbitrary numbers. Raises EnvironmentFailure if there is no memory for it."""
        ...

    def session(self, model: bytes) -> Session:
        """Return a session of a small graph, the same for equal bytes. Raises EnvironmentFailure."""
        ...


class PluginTensors:
    """Tensors on the device of a provider that is a plugin."""

    def __init__(self, provider: str, device: Any) -> None:
        self._provider = provider
        self._device = device
        self._place = device.memory_info(ort.OrtDeviceMemoryType.DEFAULT)
        self._sessions: dict[bytes, Session] = {}

    def allocate(self, shape: Sequence[int], dtype: np.dtype[Any]) -> Tensor:
        try:
            return ort.OrtValue.ortvalue_from_shape_and_type(list(shape), dtype.type, memory_info=self._place)
        except RUNTIME_ERRORS as error:
            mib = prod(shape) * dtype.itemsize / 2**20
            said = f"the device of {short(self._provider)} has no {mib:,.0f} MiB for a tensor: {first_line(error)}"
            hint = 'Run fewer agents at once, or the model with provider = "cpu".'
            raise EnvironmentFailure(said, hint=hint) from error

    def session(self, model: bytes) -> Session:
        """Return a session, all of whose nodes run on the device: a tensor that went to the host would cost more."""
        if model not in self._sessions:
            self._sessions[model] = self._open(model)
        return self._sessions[model]

    def _open(self, model: bytes) -> Session:
        settings = ort.SessionOptions()
        settings.log_severity_level = 4
        settings.intra_op_num_threads = settings.inter_op_num_threads = 1
        settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        settings.add_provider_for_devices([self._device], {})
        try:
            session = ort.InferenceSession(model, sess_options=settings, enable_fallback=0)
        except RUNTIME_ERRORS as error:
            raise EnvironmentFailure(f"{short(self._provider)} cannot copy rows: {first_line(error)}") from error
        apart = sorted(
            {
                node.op_type
                for part in session.get_provider_graph_assignment_info()
                if part.ep_name != self._provider
                for node in part.get_nodes()
            }
        )
        if apart:
            raise EnvironmentFailure(f"{short(self._provider)} has no {', '.join(apart)} to copy rows with")
        return session
