"""Choice of the backend by the name of a device; the CPU in place of a GPU that fails."""

from __future__ import annotations

from dataclasses import replace

from nbnumba.errors import ConfigError, DeviceError
from nbnumba.kernels.jit.cuda_choice import is_simulated
from nbnumba.render.backend import Backend, PanelRenderer, Plan
from nbnumba.render.devices import choose_devices, survey
from nbnumba.render.inputs import KernelInputs
from nbnumba.render.threads import usable_cores


def choose_device(device: str) -> tuple[str, str]:
    """Check a device by name; returns the one to use and the reason.

    Raises
    ------
    ConfigError
        No such device name.
    DeviceError
        The device was requested by name and is unavailable; the message says what is missing.
    """
    if device == "cpu":
        return "cpu", "requested"
    if device == "auto":
        if is_simulated():  # for tests only: it is far too slow for images
            return "cpu", "the CUDA simulator is used only on request"
        found = survey()
        return (f"cuda:{found.devices[0].index}", found.devices[0].name) if found.devices else ("cpu", found.problem)
    devices = choose_devices(device)
    return f"cuda:{','.join(str(d.index) for d in devices)}", " and ".join(d.name for d in devices)


def find_backend(device: str = "auto") -> Backend:
    """The backend of a device, by its name.

    Raises
    ------
    ConfigError
        No such device name.
    DeviceError
        The device was requested by name and is unavailable; the message says what is missing.
    """
    name, reason = choose_device(device)
    if name == "cpu":
        from nbnumba.render.cpu.backend import CpuBackend

        return CpuBackend(reason)
    from nbnumba.render.gpu.backend import CudaBackend

    return CudaBackend(name, reason)


def make_plan(inputs: KernelInputs, device: str = "auto", precision: str = "auto", kernel: str | None = None) -> Plan:
    """Choose device and kernel for one panel.

    Raises
    ------
    ConfigError
        No such precision, device or kernel, or a kernel that cannot render the panel.
    DeviceError
        The device was requested by name and is unavailable.
    """
    return find_backend(device).plan(inputs, precision, kernel)


def make_renderer(
    inputs: KernelInputs, device: str = "auto", precision: str = "auto", kernel: str | None = None
) -> PanelRenderer:
    """The renderer of one panel, with its kernel compiled and its tables made.

    Raises
    ------
    ConfigError
        As :func:`make_plan`.
    DeviceError
        The device was requested by name and is unavailable, or has too little memory.
    """
    backend = find_backend(device)
    plan = backend.plan(inputs, precision, kernel)
    try:
        return backend.make(inputs, plan)
    except DeviceError as error:
        if device != "auto":
            raise
        return fall_back(inputs, precision, error)


def renderer_of(inputs: KernelInputs, plan: Plan) -> PanelRenderer:
    """The renderer of one panel for an existing plan.

    Raises
    ------
    DeviceError
        A device fails, or has too little memory.
    """
    return find_backend(plan.device).make(inputs, plan)


def fall_back(inputs: KernelInputs, precision: str, error: DeviceError) -> PanelRenderer:
    """The CPU's renderer, in place of a GPU that failed; its plan has the reason."""
    backend = find_backend("cpu")
    plan = backend.plan(inputs, precision)
    return backend.make(inputs, replace(plan, reason=f"{error}; {plan.reason.removeprefix('requested; ')}"))


def set_threads(threads: int | None) -> int:
    """Use this many threads (None: as many as the process may run on); returns the number."""
    import numba

    most = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    wanted = threads if threads is not None else min(most, usable_cores())
    if not 1 <= wanted <= most:
        raise ConfigError(f"--threads must be between 1 and {most} on this machine, got {wanted}")
    numba.set_num_threads(wanted)
    return wanted
