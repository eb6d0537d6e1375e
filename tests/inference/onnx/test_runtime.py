from __future__ import annotations

import pytest

from turnwise.inference.onnx.runtime import first_line, is_kernel_refusal

STATUS = "Error in execution: Non-zero status code returned while running Gather node. Name:'g' Status Message: "


@pytest.mark.parametrize(
    ("message", "refusal"),
    [
        (STATUS + "indices element out of data bounds, idx=120", True),
        (STATUS + "Failed to allocate memory for requested buffer of size 1024", False),
        (STATUS + "std::bad_alloc", False),
        (STATUS + "CUDA error cudaErrorIllegalAddress", False),
        ("Error in execution: something else", False),
        ("", False),
    ],
)
def test_only_what_fails_always_is_an_answer(message: str, refusal: bool) -> None:
    assert is_kernel_refusal(RuntimeError(message)) is refusal


def test_errors_are_cut_to_one_line() -> None:
    assert first_line(RuntimeError("one\ntwo")) == "one"
    assert first_line(RuntimeError("")) == "RuntimeError"
    assert len(first_line(RuntimeError("x" * 10_000))) == 300
