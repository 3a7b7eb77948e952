"""DDColor (Kang et al. 2023, "DDColor: Towards Photo-Realistic Image Colorization via Dual Decoders", ICCV).

A ConvNeXt encoder, a pixel decoder that returns to full size, and a color decoder: a transformer whose 100 queries each
become a vector; the products of these vectors with the features of the pixels are 100 maps, and a 1x1 convolution makes
ab of them. The layers are those of the published code (piddnad/DDColor, ddcolor/model.py).
"""
