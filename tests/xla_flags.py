"""XLA's options for tests: it ends the process at one that it does not know, so the version decides."""

import importlib.metadata

# A fraction of the time to compile what runs once; a second device, where a result on the wrong one is seen.
ALWAYS = "--xla_backend_optimization_level=0 --xla_force_host_platform_device_count=2"


def xla_flags():
    """The options for the JAX that is installed; where none is, nobody reads them."""
    try:
        version = importlib.metadata.version("jaxlib")
    except importlib.metadata.PackageNotFoundError:
        return ALWAYS
    # Saves another third of it. jaxlib 0.5 did not know it yet, 0.11.2 no longer does.
    known = (0, 10) <= tuple(map(int, version.split(".")[:2])) < (0, 11)
    return f"{ALWAYS} --xla_cpu_use_fusion_emitters=false" if known else ALWAYS
