"""Export: ONNX and torch.export in CIELAB units, and float16 checkpoints; all verified before they are kept."""

import copy
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn.utils import parametrize

from colorize_core.checkpoint.config import CheckpointConfig
from colorize_core.checkpoint.weights import save_checkpoint
from colorize_core.color.lab import denormalize_ab, normalize_L
from colorize_core.errors import UserError
from colorize_core.models.base import ColorModel

TOLERANCE, HALF_TOLERANCE = 1e-2, 0.5  # CIELAB units; a step of 8-bit ab is 1
_LARGEST_AB = 128.0  # CIELAB units; no color in sRGB has a larger a or b
_LARGEST_SIDE, _LARGEST_BATCH = 16384, 4096
_CHECKED = ((1, 2, 2), (3, 3, 5), (2, 6, 4))  # batch, and sides in multiples of the stride of the model


class LabModel(nn.Module):
    """Model in CIELAB units: the export includes the normalization, so that users cannot apply a wrong one."""

    def __init__(self, model: ColorModel) -> None:
        """Wrap a model in evaluation mode."""
        super().__init__()
        self.model = model.eval()

    def forward(self, L: Tensor) -> Tensor:
        """Predict a and b (B, 2, H, W) from L (B, 1, H, W) in [0, 100]."""
        return denormalize_ab(self.model(normalize_L(L)))


class _Widened(nn.Module):
    """Parametrization of a tensor that is stored in float16 and used as float32."""

    def forward(self, stored: Tensor) -> Tensor:
        return stored.float()


def export_model(model: ColorModel, target: Path, metadata: Mapping[str, str], *, half: bool = False) -> float:
    """Write a model for another runtime, and compare its outputs there with those of the model.

    Args:
        model: from `build_model`.
        target: file that ends in .onnx (input "L", output "ab") or .pt2 (for torch.export.load). Batch, height and
            width are dynamic; the sides are multiples of `ColorModel.stride`, at least twice the stride (at one stride
            the trace would fix the innermost level to one pixel). The file appears after the outputs were compared.
        metadata: texts that the file carries: metadata properties of ONNX, extra files of torch.export.
        half: store kernels and matrices in float16, for a file of half the size. The arithmetic stays float32.

    Returns:
        Largest difference from the model itself, in CIELAB units, over several shapes.

    Raises:
        UserError: the ending is another one, ONNX packages are missing, or outputs differ by more than `TOLERANCE`
            (`HALF_TOLERANCE` with `half`).
    """
    if target.suffix not in (".onnx", ".pt2"):
        raise UserError(f"{target}: the name must end in .onnx or .pt2, or be a directory")
    inputs = _inputs(model.stride)
    scratch = target.with_name(f".writing-{target.name}")
    try:
        program = _trace(LabModel(_stored_in_half(model) if half else model), model.stride)
        if target.suffix == ".onnx":
            _write_onnx(program, scratch, metadata)
            outputs = _run_onnx(scratch, inputs)
        else:
            torch.export.save(program, scratch, extra_files=dict(metadata))
            loaded = torch.export.load(scratch).module()
            outputs = [loaded(L) for L in inputs]
        tolerance = HALF_TOLERANCE if half else TOLERANCE
        worst = _require_parity(target, LabModel(model), inputs, outputs, tolerance)
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)
    return worst


def _stored_in_half(model: ColorModel) -> ColorModel:
    """Return a copy whose kernels and matrices are float16 and are converted to float32 where they are used."""
    copied = copy.deepcopy(model)
    for module in list(copied.modules()):
        for name, parameter in list(module.named_parameters(recurse=False)):
            if parameter.ndim > 1:
                parameter.data = parameter.data.half()
                parametrize.register_parametrization(module, name, _Widened(), unsafe=True)
    return copied


def export_half(model: ColorModel, target: Path, config: CheckpointConfig) -> float:
    """Write a checkpoint of half the size: kernels and matrices in float16, which are loaded as float32.

    Vectors stay in float32: they are small, and the statistics of normalization layers may exceed float16.

    Args:
        model: from `load_checkpoint`.
        target: directory, created if needed.
        config: from `load_checkpoint`.

    Returns:
        Largest difference from the model itself, in CIELAB units, over several shapes.

    Raises:
        UserError: the outputs differ by more than `HALF_TOLERANCE`; nothing is written then.
    """
    half, loaded = copy.deepcopy(model), copy.deepcopy(model)
    for tensor in (*half.parameters(), *half.buffers()):
        if tensor.ndim > 1:
            tensor.data = tensor.data.half()
    loaded.load_state_dict(half.state_dict())
    inputs, lab_model = _inputs(model.stride), LabModel(loaded)
    with torch.no_grad():
        outputs = [lab_model(L) for L in inputs]
    worst = _require_parity(target, LabModel(model), inputs, outputs, HALF_TOLERANCE)
    save_checkpoint(target, half, config.working_size, config.training)
    return worst


def _require_parity(
    target: Path, model: LabModel, inputs: list[Tensor], outputs: list[Tensor], tolerance: float
) -> float:
    """Return the largest difference between the outputs of a model and `outputs`; raises UserError if too large.

    Some models predict ab in the thousands for noise, where float32 itself is no more exact than the tolerance. If the
    largest prediction of a batch is beyond the range of colors, its differences are divided by that excess.
    """
    differences = []
    with torch.no_grad():
        for L, ab in zip(inputs, outputs, strict=True):
            expected = model(L)
            differences.append(((expected - ab).abs() / (expected.abs().max() / _LARGEST_AB).clamp_min(1)).max())
    worst = float(torch.stack(differences).max())
    if not worst <= tolerance:
        raise UserError(
            f"{target}: not written, because its outputs differ from those of the checkpoint by {worst:.3g}"
        )
    return worst


def _inputs(stride: int) -> list[Tensor]:
    random = torch.Generator().manual_seed(0)
    return [
        torch.rand((batch, 1, rows * stride, columns * stride), generator=random) * 100
        for batch, rows, columns in _CHECKED
    ]


def _trace(model: nn.Module, stride: int) -> ExportedProgram:
    most = _LARGEST_SIDE // stride
    shape = {
        0: Dim("batch", min=1, max=_LARGEST_BATCH),
        2: stride * Dim("rows", min=2, max=most),
        3: stride * Dim("columns", min=2, max=most),
    }
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        example = torch.rand(2, 1, 3 * stride, 4 * stride) * 100
        return torch.export.export(model, (example,), dynamic_shapes=(shape,))


def _write_onnx(program: ExportedProgram, target: Path, metadata: Mapping[str, str]) -> None:
    try:
        import onnx_ir
        import onnxruntime  # noqa: F401 (needed for the check that follows)
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(f"{error.name} is not installed; pip install 'colorize[export]'") from error
    for library in ("torch.onnx", "onnxscript"):  # both warn about what they do not optimize
        logging.getLogger(library).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        written = torch.onnx.export(
            program, (), dynamo=True, input_names=["L"], output_names=["ab"], verbose=False, external_data=False
        )
    assert written is not None
    written.model.metadata_props.update(metadata)
    graph = written.model.graph
    for node in graph:
        for value in node.outputs:
            value.shape = None  # in terms of the trace's names, such as 32*s30; runtimes infer shapes themselves
    (L,), (ab,) = graph.inputs, graph.outputs
    L.shape, ab.shape = (onnx_ir.Shape(["batch", channels, "height", "width"]) for channels in (1, 2))
    written.save(target)


def _run_onnx(path: Path, inputs: list[Tensor]) -> list[Tensor]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return [torch.from_numpy(session.run(["ab"], {"L": L.numpy()})[0]) for L in inputs]
