"""The four published variants of DDColor, as .pth of its repository, as .bin of its model pages, or as safetensors."""

import re

import torch

from colorize_core.errors import UserError
from colorize_core.models.ddcolor.convnext import meta_name
from colorize_core.normalization import IMAGENET_DEVIATION, IMAGENET_MEAN
from colorize_core.published.conversion import Shape, model_shapes, take
from colorize_core.published.family import IMAGENET_TERMS, Conversion, Family, PublishedFile, Tensors

_TINY, _LARGE = "ddcolor_tiny", "ddcolor_large"
_STEM = "encoder.arch.downsample_layers.0.0.weight"

# Our names begin with "network."; those of the encoder are Meta's under another prefix.
_NAMES = (
    (r"encoder\.norms\.(\d)", r"encoder.arch.norm\1"),
    (r"pixel_decoder\.blocks\.(\d)\.up\.conv", r"decoder.layers.\1.shuf.conv.0"),
    (r"pixel_decoder\.blocks\.(\d)\.up\.norm", r"decoder.layers.\1.shuf.conv.1"),
    (r"pixel_decoder\.blocks\.(\d)\.skip_norm", r"decoder.layers.\1.bn"),
    (r"pixel_decoder\.blocks\.(\d)\.conv", r"decoder.layers.\1.conv.0"),
    (r"pixel_decoder\.blocks\.(\d)\.norm", r"decoder.layers.\1.conv.2"),
    (r"pixel_decoder\.last", "decoder.last_shuf.conv.0"),
    (r"color_decoder\.sources", "decoder.color_decoder.input_proj"),
    (r"color_decoder\.scales", "decoder.color_decoder.level_embed.weight"),
    (r"color_decoder\.queries", "decoder.color_decoder.query_feat.weight"),
    (r"color_decoder\.query_positions", "decoder.color_decoder.query_embed.weight"),
    (r"color_decoder\.norm", "decoder.color_decoder.decoder_norm"),
    (r"color_decoder\.to_vectors\.0", "decoder.color_decoder.color_embed.layers.0"),
    (r"color_decoder\.to_vectors\.2", "decoder.color_decoder.color_embed.layers.1"),
    (r"color_decoder\.to_vectors\.4", "decoder.color_decoder.color_embed.layers.2"),
    (
        r"color_decoder\.layers\.(\d)\.to_pixels\.",
        r"decoder.color_decoder.transformer_cross_attention_layers.\1.multihead_attn.",
    ),
    (
        r"color_decoder\.layers\.(\d)\.to_pixels_norm",
        r"decoder.color_decoder.transformer_cross_attention_layers.\1.norm",
    ),
    (
        r"color_decoder\.layers\.(\d)\.to_queries\.",
        r"decoder.color_decoder.transformer_self_attention_layers.\1.self_attn.",
    ),
    (
        r"color_decoder\.layers\.(\d)\.to_queries_norm",
        r"decoder.color_decoder.transformer_self_attention_layers.\1.norm",
    ),
    (r"color_decoder\.layers\.(\d)\.expand", r"decoder.color_decoder.transformer_ffn_layers.\1.linear1"),
    (r"color_decoder\.layers\.(\d)\.contract", r"decoder.color_decoder.transformer_ffn_layers.\1.linear2"),
    (r"color_decoder\.layers\.(\d)\.norm", r"decoder.color_decoder.transformer_ffn_layers.\1.norm"),
    ("head", "refine_net.0.0"),
)
_SPECTRAL = re.compile(r"network\.(pixel_decoder\.(blocks\.\d\.(up\.)?conv|last)|head)\.weight")


def _recognize(state: Tensors) -> bool:
    return "decoder.color_decoder.query_feat.weight" in state and any(key.startswith("encoder.arch.") for key in state)


def _published_name(name: str) -> str:
    name = name.removeprefix("network.")
    for ours, theirs in _NAMES:
        name, found = re.subn(f"^{ours}", theirs, name)
        if found:
            # Our linear layer of an attention is torch's in_proj_weight and in_proj_bias.
            return name.replace("project.", "in_proj_").replace(".out.", ".out_proj.")
    return "encoder.arch." + meta_name(name.removeprefix("encoder."))


def _unused(last: Shape) -> dict[str, Shape]:
    """Return shapes of what the published network has and ours does not: a norm without effect, and two constants."""
    norm = {f"encoder.arch.norm.{name}": last for name in ("weight", "bias")}
    return {**norm, "mean": (1, 3, 1, 1), "std": (1, 3, 1, 1)}


def _convert(state: Tensors, where: str) -> Conversion:
    is_tiny = _STEM in state and len(state[_STEM]) == 96
    model = _TINY if is_tiny else _LARGE
    shapes = model_shapes(model)
    spectral = {name for name in shapes if _SPECTRAL.fullmatch(name)}
    unused = _unused(shapes["network.encoder.norms.3.weight"])
    tensors = take(state, shapes, where, f"{model!r}", published_name=_published_name, spectral=spectral, unused=unused)
    for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_DEVIATION)):
        if not torch.allclose(state[name].flatten(), torch.tensor(values), atol=1e-4):
            raise UserError(f"{where}: {name} is {state[name].flatten().tolist()}, where DDColor has {list(values)}")
    return Conversion(model, tensors)


_PRIVATE = "private data that the authors do not describe"


def _file(
    variant: str, name: str, sha256: str, size: int | None, model: str = _LARGE, data: str = IMAGENET_TERMS
) -> PublishedFile:
    return PublishedFile(variant, f"huggingface.co/piddnad/{name}", sha256, size, model, data=data)


FAMILY = Family(
    name="DDColor",
    source="Kang et al. 2023, https://github.com/piddnad/DDColor",
    license="Apache-2.0 (declared by the publisher)",
    data=f"{IMAGENET_TERMS}; the variant artistic also on {_PRIVATE}",
    files=(
        _file(
            "paper_tiny",
            "ddcolor_paper_tiny/pytorch_model.bin",
            "8a1277bc90a1bfbb6d2d83933a9a6bc821931879ca93e26e4fcec12165d41fce",
            220_372_845,
            _TINY,
        ),
        _file(
            "modelscope",
            "ddcolor_modelscope/pytorch_model.bin",
            "d81711971ec59200da26d5e8a1afae8dd3778d495ea8ad7a7dadc769f403f7e7",
            911_914_869,
        ),
        _file(
            "modelscope",
            "DDColor-models/ddcolor_modelscope.pth",
            "17c460d7e55b32a598370621d77173be59e03c24b0823f06821db23a50c263ce",
            911_950_059,
        ),
        _file(
            "artistic",
            "ddcolor_artistic/pytorch_model.bin",
            "5a076e84efce59848394f572a105f7b78f7f6e917f615d1ee88537241b96dca3",
            911_914_869,
            data=f"{IMAGENET_TERMS}; and {_PRIVATE}",
        ),
        _file(
            "artistic",
            "DDColor-models/ddcolor_artistic.pth",
            "a591ee5beedad36de703d8977e92d0c30c1eedc6453fd1b300f3b460842a23a9",
            911_950_059,
            data=f"{IMAGENET_TERMS}; and {_PRIVATE}",
        ),
        _file(
            "paper",
            "ddcolor_paper/pytorch_model.bin",
            "5c77db8292398a2ec1397003f0a90266c28e97b013515d5e9a32e73a4c54a67d",
            None,
        ),
    ),
    recognize=_recognize,
    convert=_convert,
)
