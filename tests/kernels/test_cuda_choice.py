"""Which CUDA package compiles the kernels, what is said where none can, and where its machine code is kept."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from nbnumba.kernels.jit import cache, cuda_choice
from nbnumba.kernels.jit.cuda_choice import MLIR, NUMBA_CUDA, SIMULATOR, VARIABLE, find_package
from nbnumba.render import devices


@pytest.fixture
def installed(monkeypatch):
    """Let the packages of these modules seem to be installed, and no simulator be asked for."""

    def pretend(*modules: str, wanted: str | None = None) -> None:
        monkeypatch.delenv("NUMBA_ENABLE_CUDASIM", raising=False)
        monkeypatch.setattr(
            cuda_choice.importlib.util, "find_spec", lambda name: SimpleNamespace() if name in modules else None
        )
        monkeypatch.delenv(VARIABLE, raising=False)
        if wanted is not None:
            monkeypatch.setenv(VARIABLE, wanted)

    return pretend


@pytest.mark.parametrize(
    ("modules", "wanted", "taken"),
    [
        ((), None, None),
        (("numba_cuda",), None, NUMBA_CUDA),
        (("numba_cuda_mlir",), None, MLIR),
        (("numba_cuda", "numba_cuda_mlir"), None, NUMBA_CUDA),
        (("numba_cuda", "numba_cuda_mlir"), "mlir", MLIR),
        (("numba_cuda", "numba_cuda_mlir"), "numba-cuda", NUMBA_CUDA),
        (("numba_cuda_mlir",), "", MLIR),
    ],
)
def test_package(installed, modules, wanted, taken):
    installed(*modules, wanted=wanted)
    assert find_package() == taken


def test_the_simulator_goes_first(installed, monkeypatch):
    installed("numba_cuda", wanted="mlir")
    monkeypatch.setenv("NUMBA_ENABLE_CUDASIM", "1")
    assert find_package() is SIMULATOR


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("mlir", r"NBNUMBA_CUDA=mlir .* numba-cuda-mlir, which is not installed: .*'nbnumba\[cuda-mlir\]'"),
        ("cupy", "NBNUMBA_CUDA must be numba-cuda or mlir, got cupy"),
    ],
)
def test_a_package_that_cannot_be_had(installed, monkeypatch, wanted, words):
    """An error with its cure, and no GPU for a survey, whose words are the error's."""
    installed("numba_cuda", wanted=wanted)
    with pytest.raises(ValueError, match=words):
        find_package()

    class Driver:
        def __getattr__(self, name):
            return lambda *arguments: 0

        def cuDriverGetVersion(self, number):
            number._obj.value = 13000

        def cuDeviceGetCount(self, count):
            count._obj.value = 1
            return 0

    monkeypatch.setattr(devices, "_load_driver", Driver)
    found = devices.survey.__wrapped__()
    assert not found.devices
    assert found.problem.startswith("NBNUMBA_CUDA")
    assert found.cure


def test_every_adapter_is_a_module_of_this_package():
    folder = cache.Path(cache.__file__).parent
    assert all((folder / f"{package.adapter}.py").is_file() for package in (NUMBA_CUDA, MLIR, SIMULATOR))


class Kernel:
    """What a CUDA package makes of a function, as far as the cache is concerned."""

    def __init__(self, config):
        self.config, self._cache = config, None

    def enable_caching(self):
        self._cache = PlainCache(self.config.CACHE_DIR)


class PlainFile:
    def __init__(self, path, name, stamp):
        self._cache_path, self._index_name, self._source_stamp = path, f"{name}.nbi", stamp


class PlainCache:
    def __init__(self, path):
        self._cache_file, self.kept = PlainFile(path, "kernel", "stamp"), {}

    def load_overload(self, sig, context):
        return self.kept.get(sig)

    def save_overload(self, sig, data):
        self.kept[sig] = data


def test_kernels_are_kept_by_package_and_misses_are_told(monkeypatch, tmp_path):
    monkeypatch.setattr(cache, "CACHE_DIR", tmp_path)
    config, told = SimpleNamespace(CACHE_DIR="before"), []
    kernel = cache.keep_cuda_kernels(Kernel(config), config, "numba-cuda-9.9", lambda: told.append(1))
    assert config.CACHE_DIR == "before"
    assert kernel._cache._cache_file._cache_path == str(tmp_path / "numba-cuda-9.9")
    assert kernel._cache.load_overload("one", None) is None
    assert told == [1]
    kernel._cache.save_overload("one", "code")
    assert kernel._cache.load_overload("one", None) == "code"
    assert told == [1]


def test_without_a_folder_every_kernel_is_compiled_and_told(monkeypatch):
    monkeypatch.setattr(cache, "CACHE_DIR", None)
    config, told = SimpleNamespace(CACHE_DIR="before"), []
    kernel = cache.keep_cuda_kernels(Kernel(config), config, "numba-cuda-9.9", lambda: told.append(1))
    kernel._cache.save_overload("one", "code")
    assert kernel._cache.load_overload("one", None) is None
    assert told == [1]


def test_a_cache_that_cannot_be_read_is_a_miss(monkeypatch, tmp_path):
    monkeypatch.setattr(cache, "CACHE_DIR", tmp_path)
    config, told = SimpleNamespace(CACHE_DIR="before"), []
    kernel = cache.keep_cuda_kernels(Kernel(config), config, "numba-cuda-9.9", lambda: told.append(1))
    monkeypatch.setattr(PlainCache, "load_overload", lambda *words: 1 / 0)
    assert kernel._cache.load_overload("one", None) is None
    assert told == [1]
