"""A CUDA driver that needs no GPU and computes nothing; ``python -m tests.campaigns.null_driver`` runs all it can show.

``driver/*.c`` is a ``libcuda.so.1``. The real CUDA packages load it in place of NVIDIA's, so that their host side and
ours run to the end: compiling, linking, loading, arguments, memory, streams, events, finalizers. Device memory is memory
of the host; a launch checks what it was given and returns.

What it proves: every kernel compiles, links and is launched with arguments of the number and sizes that its machine
code asks for, at aligned places; every address among them lies in memory that is allocated, on that device, and large
enough; copies stay within allocations; nothing is used after it was destroyed, or destroyed twice; what is allocated is
given back; whatever fails in a call is told in a sentence, or handed over to the CPU. It tells the cost of a launch on
the host, as a ratio to that of an empty kernel.

What it cannot: a single number that a kernel computes (images are zeros), reads and writes of kernels within their
allocations, races, the order of streams (copies are done at once), anything about time on a device, a real driver's limits
and versions. Those are for the CUDA simulator, for ``bench.cuda_resources``, and for hardware.

Settings are environment variables, in ``driver/null_driver.h`` and ``driver/report.c``;
:func:`tests.campaigns.null_driver.session.run` takes them as keywords.
"""
