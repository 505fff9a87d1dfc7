"""XLA's flags for tests: it compiles small programs in a quarter of its usual time, and they run more slowly.

Most programs of the tests run once. XLA reads its flags when JAX first asks for a device.
"""

from importlib.metadata import version

# JAX 0.11 and newer have no such flag, and XLA ends the process where it meets a flag that it does not know.
EMITTERS = "xla_cpu_use_fusion_emitters"
HAS_EMITTERS = tuple(map(int, version("jaxlib").split(".")[:2])) < (0, 11)

FLAGS = [
    "--xla_force_host_platform_device_count=8",
    "--xla_backend_optimization_level=0",
    # A program has a fifth of the mappings in memory. Linux allows a process 65,530 of them, and ends it there.
    "--xla_cpu_parallel_codegen_split_count=1",
    *([f"--{EMITTERS}=false"] if HAS_EMITTERS else []),
]
USUAL: dict[str, bool | int] = {"xla_backend_optimization_level": 3, **({EMITTERS: True} if HAS_EMITTERS else {})}
"""Compiler options that undo the flags for one program."""
