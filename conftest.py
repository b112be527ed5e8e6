"""What the collection of tests and of doctests shares: a module that cannot be imported is an error."""

import importlib.util
import re
import sys

import pytest

collect_ignore_glob = [] if importlib.util.find_spec("torch") else ["lnegeom_torch/*"]
# All else that is not there is a mistake. The second is what `lnegeom_torch.manifolds` itself says.
_NOT_INSTALLED = re.compile(
    r"No module named '(torch|geoopt|joblib|safetensors|sklearn|triton)'|needs (geoopt): pip install"
)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    """Skip, with the reason, what needs an optional package that is not installed here.

    pytest's own ``--doctest-ignore-import-errors`` would skip whatever cannot be imported, a test with a
    misspelt import included, and the run would pass.
    """
    report = yield
    if report.failed:
        # pytest leaves the half of it that was made, and the next import would take that for the module.
        path = str(collector.path)
        for name in [n for n, module in sys.modules.items() if getattr(module, "__file__", None) == path]:
            del sys.modules[name]
        if found := _NOT_INSTALLED.search(str(report.longrepr)):
            report.outcome = "skipped"
            report.longrepr = (path, 0, f"Skipped: {found[1] or found[2]} is not installed")
    return report
