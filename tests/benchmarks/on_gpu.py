"""What waits for a GPU, within ten minutes: its tests, and the benchmarks' tables. Run by ``make gpu``.

    python tests/benchmarks/on_gpu.py --out runs/gpu

Each part is a process with a time limit of its own, so that one that fails or hangs leaves the others theirs;
what it prints is in a file as soon as it is printed. Nothing is installed: torch, numpy, scipy, sympy, tqdm,
array-api-compat, hypothesis, pytest, scikit-learn, joblib, safetensors and, for the CPU's step, numba must be
there; ducc0, rocket-fft, geoopt and pytest-xdist are used if they are.
"""

import argparse
import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Plugins that happen to be installed may warn, which these tests take for an error; several processes
# share the compiler's work, and a fault that breaks a GPU for its process is not all tests'.
TESTS = "tests/adapter/test_gpu.py", "tests/adapter/test_data.py", "tests/flow/test_rhs.py"
PYTEST = "-m", "pytest", *TESTS, "-m", "gpu", "-q", "--durations=8"
XDIST = ("-p", "xdist.plugin", "-n", "4") if importlib.util.find_spec("xdist") else ()
HERE = "tests/benchmarks"
PARTS = {
    "tests": (180, (*PYTEST, *XDIST)),
    "optimizers": (180, (f"{HERE}/bench_optim.py", "--device", "cuda")),
    "flow": (130, (f"{HERE}/bench_flow.py", "--device", "cuda")),
    "seeds": (70, (f"{HERE}/bench_seeds.py", "--device", "cuda")),
}


def run(arguments, limit, path):
    """How a part ended, "passed" if it did well; what it prints goes to the file."""
    own = {"PYTHONUNBUFFERED": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    folders = filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))
    environment = {**os.environ, **own, "PYTHONPATH": os.pathsep.join(folders)}
    with path.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            return f"stopped after {limit} s"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # with the processes that it has started
                process.wait()
    return "passed" if code == 0 else f"failed, exit code {code}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "gpu", help="folder for what is printed")
    out = parser.parse_args().out
    import torch

    if not torch.cuda.is_available():
        raise SystemExit(
            f"torch {torch.__version__} sees no CUDA device here: run this on a machine with one"
        )
    out.mkdir(parents=True, exist_ok=True)
    ends = {}
    for name, (limit, arguments) in PARTS.items():
        path, start = out / f"{name}.txt", time.monotonic()
        print(f"{name}: at most {limit} s, into {path}", flush=True)
        end = run(arguments, limit, path)
        ends[name] = f"{end}, {time.monotonic() - start:.0f} s"
        print(path.read_text(), flush=True)
    print("\n".join(f"{name}: {end}" for name, end in ends.items()))
    if not all(end.startswith("passed") for end in ends.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
