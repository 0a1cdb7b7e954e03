"""Prepared launches, under the null driver: an argument that changed is what it would be had it been there from the start."""

from __future__ import annotations

import pytest

from nbnumba.kernels.jit.cuda_choice import PACKAGES
from tests.campaigns.null_driver.session import run

CHANGES = """
    import sys
    import numpy as np
    from typing import NamedTuple
    from nbnumba.kernels.jit.cuda import Launch, cuda
    from nbnumba.render.gpu.launch import Starter

    class Block(NamedTuple):
        whole: int
        real: float
        small: float

    @cuda.jit(launch_bounds=(32, 1))
    def fill(image, window, block, sources, flag):
        i = cuda.grid(1)
        if i < image.shape[0] and window[1] > 0:
            image[i, 0] = block.whole + block.real + block.small + sources[0] + flag

    stream = cuda.stream()
    arrays = [cuda.to_device(np.zeros((n, n + 1), np.float32)) for n in (8, 5)]
    lists = [cuda.to_device(np.zeros(n)) for n in (3, 9)]
    first = (arrays[0], (1, 2, 3, 4), Block(1, 0.5, np.float32(0.25)), lists[0], np.int32(7))
    second = (arrays[1], (-5, 6, 7, 1 << 40), Block(-9, 1e300, np.float32(-2)), lists[1], np.int32(-1))
"""

SAME = """
    def packed(launch):
        places = getattr(launch, "_places", None) or launch._flat
        return [[getattr(x, "value", x) for x in place] for place in places]

    changed, made = Launch(fill, 32, first), Launch(fill, 32, second)
    assert packed(changed) != packed(made)
    for place, value in enumerate(second):
        changed.change(place, value)
    assert packed(changed) == packed(made)
    assert changed.arguments == list(second)
    changed.start((2,), stream)
    changed.start((2,), stream)
    fill[2, 32, stream](*second)
    stream.synchronize()
"""

HELD = """
    start, changes = Starter(fill, 32), []
    start((1,), stream, *first)
    start._launch.change = lambda place, value: changes.append(place)
    start((1,), stream, *first)
    start((1,), stream, first[0], (1, 2, 3, 4), first[2]._replace(), first[3], first[4])  # equal, if not the same
    assert changes == []
    start((1,), stream, first[0], (1, 2, 3, 5), first[2], lists[1], first[4])
    assert changes == [1, 3], changes
"""


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.key)
@pytest.mark.parametrize("check", [SAME, HELD], ids=["changed", "held"])
def test_arguments_in_place(package, check):
    pytest.importorskip(package.module, reason=f"{package.name} is not installed")
    run(CHANGES + check, package=package.key).check()


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.key)
def test_the_direct_way_is_taken(package):
    """Private attributes that it needs are there in the versions that are allowed."""
    pytest.importorskip(package.module, reason=f"{package.name} is not installed")
    direct = """
    launch = Launch(fill, 32, first)
    launch.start((1,), stream)
    fill.__class__.__getitem__ = None  # the slow way
    launch.start((1,), stream)
    """
    run(CHANGES + direct, package=package.key).check()


def test_without_private_attributes_the_kernel_is_called_as_usual():
    pytest.importorskip("numba_cuda", reason="numba-cuda is not installed")
    usual = """
    from numba.cuda.dispatcher import _Kernel
    from nbnumba.kernels.jit import cuda_numba

    class Plain:
        def __init__(self, kernel):
            self.compiled = kernel

        def bind(self):
            pass

    compile_ = type(fill).compile
    type(fill).compile = lambda self, types: Plain(compile_(self, types))
    launch = Launch(fill, 32, first)
    assert not launch._function
    type(fill).compile = compile_
    launch.change(1, second[1])
    launch.start((1,), stream)
    stream.synchronize()
    """
    outcome = run(CHANGES + usual, package="numba-cuda").check()
    assert outcome.report
