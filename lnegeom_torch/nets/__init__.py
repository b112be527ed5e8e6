"""Image classifiers: small ones built for quantization, and torchvision's.

The small ones have no biases, and batch norm after every weight.
"""

from lnegeom_torch.nets._build import build
from lnegeom_torch.nets.lenet import LeNet
from lnegeom_torch.nets.mlp import MLP, glorot_
from lnegeom_torch.nets.mobilenet import MobileNet
from lnegeom_torch.nets.resnet import ResNet
from lnegeom_torch.nets.vgg import VGG11, VGG16

__all__ = ["MLP", "VGG11", "VGG16", "LeNet", "MobileNet", "ResNet", "build", "glorot_"]
