"""Check and time the CUDA kernels on a GPU of this machine within minutes: ``python -m bench.gpu [--minutes 6.5]``.

Needs numba, a CUDA package, numpy and gemmi, no network and no installation: a plain checkout will do. Every result is a
line of JSON, on the disk before the next one is begun; docs/cuda.md says how to run this and what the figures mean.

:mod:`~bench.gpu.steps` lists what can be done and chooses what fits the time. Cases of a step are handed out, one by one,
to worker processes (:mod:`~bench.gpu.pool`, :mod:`~bench.gpu.worker`), so that neither a crash nor a hang of the device
costs more than its own case. What a step does stands in the module that :data:`~bench.gpu.steps.STEPS` names.
"""
