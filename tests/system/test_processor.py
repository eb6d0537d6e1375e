from __future__ import annotations

from turnwise.system.processor import features, numeric_features


def test_only_what_kernels_are_chosen_by_is_named_in_order() -> None:
    x86 = "processor\t: 0\nmodel name\t: A\nflags\t\t: fpu sse2 fma avx512f avx2 hypervisor avx\n\nflags\t: none\n"
    assert numeric_features(x86) == "avx avx2 avx512f fma"
    assert numeric_features("Features\t: fp asimd evtstrm i8mm sve2\n") == "asimd fp i8mm sve2"
    assert numeric_features("bogomips: 1\n") is None


def test_of_this_machine() -> None:
    assert features() == features()
