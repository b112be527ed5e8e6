"""A GPU that is not there: tensors with shapes, dtypes and a device, but no numbers.

torch's own fake tensors refuse what no GPU does, above all an operation between devices. What would make the
host wait for the device is let through, with ones in the place of the numbers, and written down. The device
is one of torch's that no build of it has code for, but that its automatic differentiation puts up with, which
it does not with "cuda" where there is none.
"""

import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

import torch
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

DEVICE = "lazy:0"
ROOT = str(Path(__file__).parents[1])
aten = torch.ops.aten

# Their results have as many entries as the numbers say: here, one.
SHAPED_BY_VALUES = {
    aten.nonzero: lambda x, *_: x.new_empty((1, x.ndim), dtype=torch.int64),
    aten._unique2: lambda x, *_: (x.new_empty(1), *x.new_empty((2, 0), dtype=torch.int64)),
}


class Traffic(TorchDispatchMode):
    """What passes between the host and the device.

    Attributes
    ----------
    reads, sends : list of str
        Where in the library numbers are brought to the host, or to the device; the host waits for both.
    kernels : list of str
        Operations that launch work on the device.
    moved : int
        Bytes that these operations read and write.
    """

    def __init__(self):
        super().__init__()
        self.clear()

    def clear(self):
        self.reads, self.sends, self.kernels, self.moved = [], [], [], 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        packet, given = func.overloadpacket, tensors_of((args, kwargs))
        there = [t for t in given if is_there(t)]
        if packet is aten._local_scalar_dense and (there or args[0].constant is None):
            self.reads += [caller()] * bool(there)
            return one(args[0].dtype)
        if packet in SHAPED_BY_VALUES and there:
            self.reads.append(caller())
            return SHAPED_BY_VALUES[packet](*args)
        if packet is aten._efficientzerotensor:  # of which fake tensors lose the device
            func = aten.zeros.default
        if "_fused_" in str(func):  # torch's steps, which fake tensors do not know
            assert len(there) == len(given), f"{func} of tensors on {', '.join(str(t.device) for t in given)}"
            return self._launched(func, there, [t for t in there if not any(t is g for g in args[1])])
        made = func(*args, **kwargs)
        results = tensors_of(made)
        if there and results and not any(map(is_there, results)):
            self.reads.append(caller())
            with _disable_current_modes():
                return plain(results[0])
        if packet in (aten._to_copy, aten.copy_) and results and is_there(results[0]) and not_there(given):
            self.sends.append(caller())
        elif there and not func.is_view and "prim." not in str(func):
            self._launched(func, there, results)
        return made

    def _launched(self, func, read, written):
        self.kernels.append(str(func))
        self.moved += sum(t.nbytes for t in [*read, *written])


def tensors_of(tree):
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def is_there(tensor):
    return tensor.device.type == torch.device(DEVICE).type


def not_there(tensors):
    return any(not is_there(t) for t in tensors)


def caller():
    """The function of the library, or of a test, that runs."""
    frame = sys._getframe(2)
    while frame.f_back and (
        not frame.f_code.co_filename.startswith(ROOT)
        or "site-packages" in frame.f_code.co_filename
        or frame.f_code.co_filename == __file__
    ):
        frame = frame.f_back
    return frame.f_code.co_qualname


def plain(tensor):
    """Numbers of a tensor's shape: identity matrices if they are square, else ones."""
    shape = tuple(tensor.shape)
    if len(shape) > 1 and shape[-1] == shape[-2]:
        return torch.eye(shape[-1], dtype=tensor.dtype).expand(shape).clone()
    return torch.ones(shape, dtype=tensor.dtype)


def one(dtype):
    return True if dtype is torch.bool else 1.0 if dtype.is_floating_point else 1


def _generator(device="cpu"):
    return _Generator()


def _put(tensor, other):
    """`torch.utils.swap_tensors`, as `Module.to` uses it, for fake tensors."""
    tensor.fake_device = other.fake_device


_Generator = torch.Generator
_LISTS = "_get_fused_kernels_supported_devices", "_get_capturable_supported_devices"
_OPTIMIZERS = "optimizer", "sgd", "adam", "adamw"


@contextmanager
def simulated():
    """Run on the device; yields the `Traffic`."""
    with ExitStack() as stack:
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        traffic = stack.enter_context(Traffic())
        stack.enter_context(mock.patch.object(torch, "Generator", _generator))
        stack.enter_context(mock.patch("torch.utils.swap_tensors", _put))
        for module in (sys.modules[f"torch.optim.{name}"] for name in _OPTIMIZERS):
            for name in (name for name in _LISTS if hasattr(module, name)):  # or none would be fused there
                stack.enter_context(mock.patch.object(module, name, return_value=["lazy"]))
        yield traffic


def array(value, dtype=torch.float64):
    """Numpy's numbers as a tensor of the device."""
    return torch.asarray(value, dtype=dtype).to(DEVICE)
