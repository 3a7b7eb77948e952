"""Scale of network inputs and outputs: L / 50 - 1 and ab / 110; scale of RGB for networks trained on ImageNet.

The sRGB gamut spans a [-86.2, 98.2] and b [-107.9, 94.5], so 110 never clips.
"""

L_CENTER = 50.0
AB_SCALE = 110.0

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's R, G and B in [0, 1], with which torchvision's networks are trained."""
