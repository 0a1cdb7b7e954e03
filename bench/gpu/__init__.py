"""Check and time the CUDA kernels on a GPU of this machine within minutes: ``python -m bench.gpu [--minutes 6.5]``.

Needs numba, a CUDA package, numpy and gemmi, but no network and no installation: a checkout is enough. Every result is
a line of JSON, written to the disk before the next case begins; docs/cuda.md says how to run this and what the figures
mean.

:mod:`~bench.gpu.steps` lists the steps and chooses those that fit the time. The cases of a step are given, one by one,
to worker processes (:mod:`~bench.gpu.pool`, :mod:`~bench.gpu.worker`), so that a crash or a hang of the device costs
only its own case. Each step is in the module that :data:`~bench.gpu.steps.STEPS` names.
"""
