"""The cache of compiled kernels: Numba's, hardened against corrupt files, stale sources and full disks.

Problems: (1) Numba keys a cached function by the text of its own file only. A kernel in ``cpu.py`` that calls a function
of ``lattice.py`` keeps computing the old formula after ``lattice.py`` was edited or upgraded. (2) It does not check the files
in the cache: one that was truncated by a full disk or a crash ends every later run with an exception or, worse, runs as
machine code. (3) Two processes that compile different signatures at the same moment may give their
entries the same file name, and the wrong one of them is called afterwards. (4) A full disk or a closed folder ends the run.

Choice: the cache lives in a folder named by a digest of all files of this package and of the versions that compile
them, so that any change starts a new folder. Every file ends with its own SHA-256, and every entry holds the key it
was written for; kernels that do not match are compiled again. A kernel that cannot be written is not kept. Cost: one hash of some thirty
small files at import, one of each kernel used. A folder that is readable but not writable is used, too: a cluster can
share one that has the kernels.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any

import llvmlite
import numba
import numpy as np

from nbnumba.kernels.jit.numba_private import CACHE_IMPL, FUNCTION_CACHE, has_cache

_DIGEST_BYTES = 32


def cache_root() -> Path:
    """Folder below which compiled kernels are kept: ``NUMBA_CACHE_DIR``, else the user's cache folder."""
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(chosen)
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home()))
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "nbnumba"


def _digest() -> str:
    text = hashlib.sha256(
        f"{numba.__version__} {llvmlite.__version__} {np.__version__} {sys.version_info[:2]}".encode()
    )
    kernels = Path(__file__).parents[1]
    for file in sorted(kernels.rglob("*.py")):
        text.update(str(file.relative_to(kernels)).encode() + b"\0" + file.read_bytes())
    return text.hexdigest()[:16]


def _usable(folder: Path) -> bool:
    """Whether kernels can be kept in the folder, or are there already."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return next(folder.glob("*.nbi"), None) is not None


def _private_folder() -> Path | None:
    """A private folder for temporary files; nobody else can write to it, as code from it is executed."""
    if not hasattr(os, "geteuid"):
        return None
    folder = Path(tempfile.gettempdir(), f"nbnumba-{os.geteuid()}")
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077
    return folder if ours else None


def find_cache() -> Path | None:
    """Folder of the kernels of this version: below :func:`cache_root`, or a private one if that is not writable."""
    name = _digest()
    for place in (cache_root, _private_folder):
        try:
            root = place()
            if root is not None and _usable(root / name):
                return root / name
        except (OSError, RuntimeError):  # no home folder, no folder for temporary files
            continue
    return None


#: Where compiled kernels are kept, or None when no folder can be written: then every process compiles anew.
CACHE_DIR: Path | None = find_cache()


def is_cold() -> bool:
    """Whether this process has to compile its kernels: nothing is cached yet for this version."""
    return CACHE_DIR is None or not any(CACHE_DIR.rglob("*.nbi"))


class _Checked:
    """In front of Numba's ``IndexDataCacheFile``: files end with their digest, entries hold their key."""

    _cache_path: str
    _index_path: str
    _version: str
    _source_stamp: Any

    def save(self, key: Any, data: Any) -> None:
        """Keep an entry."""
        super().save(key, (key, data))  # type: ignore[misc]

    def load(self, key: Any) -> Any:
        """The entry, or None."""
        entry = super().load(key)  # type: ignore[misc]
        return entry[1] if entry is not None and entry[0] == key else None

    def _load_index(self) -> dict[Any, str]:
        version, stamp, names = self._read(self._index_path) or (None, None, {})
        return names if (version, stamp) == (self._version, self._source_stamp) else {}

    def _save_index(self, overloads: dict[Any, str]) -> None:
        self._write(self._index_path, (self._version, self._source_stamp, overloads))

    def _load_data(self, name: str) -> Any:
        return self._read(os.path.join(self._cache_path, name))

    def _save_data(self, name: str, data: Any) -> None:
        self._write(os.path.join(self._cache_path, name), data)

    def _read(self, path: str) -> Any:
        try:
            content = Path(path).read_bytes()
        except OSError:
            return None
        body, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
        return pickle.loads(body) if hashlib.sha256(body).digest() == digest else None

    def _write(self, path: str, content: Any) -> None:
        body = self._dump(content)  # type: ignore[attr-defined]
        with self._open_for_write(path) as file:  # type: ignore[attr-defined]
            file.write(body + hashlib.sha256(body).digest())


def describe(value: Any) -> str:
    """Text that identifies a function and its closure variables, the same in every process.

    Numba's key of a closure is its pickle: a compiled function among its variables then has another name in each process,
    so that the key is never found again.
    """
    value = getattr(value, "py_func", value)
    if isinstance(value, FunctionType):
        inner = [describe(cell.cell_contents) for cell in value.__closure__ or ()]
        return f"{value.__module__}.{value.__qualname__}{inner}"
    if isinstance(value, tuple):
        return str([describe(item) for item in value])
    return repr(value)


class Careful:
    """Mixin for one of Numba's caches: a kernel that cannot be loaded is compiled, one that cannot be written is not kept."""

    _cache_file: Any
    _py_func: Any

    def __init__(self, py_func: Any) -> None:
        super().__init__(py_func)  # type: ignore[call-arg]
        self._check_files()

    def _check_files(self) -> None:
        plain = self._cache_file
        checked = type("CheckedFile", (_Checked, type(plain)), {})
        self._cache_file = checked(plain._cache_path, plain._index_name.removesuffix(".nbi"), plain._source_stamp)

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return sig, codegen.magic_tuple(), describe(self._py_func)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled function, or None."""
        try:
            return super().load_overload(sig, target_context)  # type: ignore[misc]
        except Exception:  # a damaged file may make the loader raise any exception
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Store a compiled function if possible."""
        with contextlib.suppress(OSError, AttributeError, TypeError):  # a full disk; a Numba with another cache
            super().save_overload(sig, data)  # type: ignore[misc]


class _Told:
    """Mixin for a cache of CUDA kernels that logs when a kernel has to be compiled."""

    _tell: Callable[[], None]

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled function, or None."""
        found = super().load_overload(sig, target_context)  # type: ignore[misc]
        if found is None:
            self._tell()
        return found


class _Nowhere:
    """A cache that stores nothing."""

    def load_overload(self, sig: Any, target_context: Any) -> None:
        """Nothing."""

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep nothing."""


class _Untold(_Told, _Nowhere):
    """A cache that stores nothing and logs every compilation."""


def keep_cuda_kernels(compiled: Any, config: Any, package: str, tell: Callable[[], None]) -> Any:
    """Keep a CUDA kernel's machine code on disk, in a folder of the package that compiles it.

    Parameters
    ----------
    compiled
        Dispatcher of one of the CUDA packages.
    config
        That package's module of settings.
    package : str
        Name and version of the package.
    tell : callable
        Called when a kernel is not found and will be compiled.
    """
    if CACHE_DIR is None or not hasattr(compiled, "enable_caching"):
        compiled._cache = _Untold()
        compiled._cache._tell = tell
        return compiled
    previous, config.CACHE_DIR = config.CACHE_DIR, str(CACHE_DIR / package)
    try:
        compiled.enable_caching()
    finally:
        config.CACHE_DIR = previous
    plain = compiled._cache
    careful: Any = type("CudaKernelCache", (_Told, Careful, type(plain)), {})
    compiled._cache = careful.__new__(careful)
    vars(compiled._cache).update(vars(plain), _tell=tell)
    compiled._cache._check_files()
    return compiled


class _Place:
    """:data:`CACHE_DIR`, as Numba asks for it."""

    def __init__(self, py_func: Any) -> None:
        self._line = py_func.__code__.co_firstlineno

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> _Place:
        """The place of a function."""
        return cls(py_func)

    def get_cache_path(self) -> str:
        """Folder of its files."""
        return str(CACHE_DIR)

    def ensure_cache_path(self) -> None:
        """Make the folder again if it was removed."""
        os.makedirs(self.get_cache_path(), exist_ok=True)

    def get_source_stamp(self) -> str:
        """The digest of all sources."""
        return os.path.basename(self.get_cache_path())

    def get_disambiguator(self) -> str:
        """Suffix that distinguishes functions of the same name."""
        return str(self._line)


class _Impl(CACHE_IMPL or object):  # type: ignore[misc]
    _locator_classes: list[Any] = [_Place]  # noqa: RUF012


class KernelCache(Careful, FUNCTION_CACHE or object):  # type: ignore[misc]
    """The cache of a CPU kernel in :data:`CACHE_DIR`, where :func:`nbnumba.kernels.jit.numba_private.has_cache`."""

    _impl_class = _Impl


def keep_cpu_kernel(compiled: Any) -> None:
    """Keep a CPU kernel on disk; without a folder, or with a Numba that has another cache, it is compiled in every process."""
    if CACHE_DIR is None or not has_cache() or not hasattr(compiled, "enable_caching"):
        return
    with contextlib.suppress(AttributeError, TypeError):
        compiled._cache = KernelCache(compiled.py_func)
