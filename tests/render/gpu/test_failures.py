"""Which exceptions are told as a GPU's failure, and in what words."""

from __future__ import annotations

import re
import types

import pytest

from nbnumba.errors import DeviceError
from nbnumba.render.gpu.failures import explained, guarded, is_of_cuda


def raised_in(module: str, statement: str) -> BaseException:
    """The exception that a statement raises inside a module of this name."""
    space = types.ModuleType(module)
    exec(compile(f"def call():\n    {statement}", f"{module}.py", "exec"), space.__dict__)
    with pytest.raises(Exception) as caught:
        space.call()
    return caught.value


@pytest.mark.parametrize(
    "module",
    ["numba.cuda.dispatcher", "numba_cuda.numba.cuda.api", "numba_cuda_mlir.descriptor", "cuda.bindings.driver"],
)
def test_what_arises_in_a_cuda_package_is_cudas(module):
    error = raised_in(module, "raise AttributeError('module numpy has no attribute row_stack')")
    told = explained(error, "cuda:0 (NVIDIA Test)")
    assert isinstance(told, DeviceError)
    assert str(told).startswith("cuda:0 (NVIDIA Test) failed: the versions of the CUDA packages do not match; ")
    assert "AttributeError: module numpy has no attribute row_stack" in str(told)


@pytest.mark.parametrize("module", ["nbnumba.render.gpu.renderer", "numba.np.arraymath", "cudataset", "user.cuda"])
def test_what_arises_elsewhere_is_not(module):
    error = raised_in(module, "raise ValueError('mine')")
    assert not is_of_cuda(error)
    with pytest.raises(ValueError, match="mine"), guarded("cuda:0"):
        raise error


def test_a_package_that_cannot_be_imported_is_cudas():
    assert is_of_cuda(raised_in("nbnumba.kernels.jit.cuda_numba", "import no_such_module_of_cuda"))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("[<CUresult.CUDA_ERROR_OUT_OF_MEMORY: 2>] Call to cuMemAlloc", "too little free memory"),
        ("libnvvm.so was not found", "compiler (libnvvm) was not found; pip install 'nbnumba[cuda]'"),
        ("CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "driver is older than the CUDA packages"),
        ("CUDA_ERROR_ILLEGAL_ADDRESS", "the GPU was lost"),
        ("nvJitLink: no such file", "linker"),
    ],
)
def test_known_failures_are_told_with_their_cure(said, words):
    told = explained(raised_in("numba.cuda.cudadrv.driver", f"raise RuntimeError({said!r})"), "cuda:1")
    assert words in str(told)
    assert said in str(told)
    assert "\n" not in str(told)


def test_unknown_failures_are_told_as_they_are():
    told = explained(raised_in("numba.cuda.x", "raise RuntimeError('strange\\nand more')"), "cuda:1")
    assert str(told) == "cuda:1 failed: RuntimeError: strange"


def test_a_device_error_stays_what_it_is():
    first = DeviceError("not enough memory")
    with pytest.raises(DeviceError, match=re.escape("not enough memory")) as caught, guarded("cuda:0"):
        raise first
    assert caught.value is first


def test_ctrl_c_is_not_swallowed():
    with pytest.raises(KeyboardInterrupt), guarded("cuda:0"):
        raise KeyboardInterrupt
