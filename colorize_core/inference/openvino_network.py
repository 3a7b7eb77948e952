"""Networks compiled by OpenVINO for a CPU, which runs them faster than torch."""

import functools
import hashlib
import logging
import os
import shutil
import sys
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import torch
from torch import Tensor, nn

import colorize_core
from colorize_core.formatting import first_line
from colorize_core.inference.engines import Engine, is_openvino_installed, require_engine
from colorize_core.inference.prediction import predict_ab
from colorize_core.runtime.precision import Precision, resolve_precision

MAX_DIFFERENCE = {"fp32": 0.05, "bf16": 0.5}
"""Mean absolute difference of ab from torch in float32, CIELAB units, above which a network is not used. Measured with
the starter weights: 0.00002 and 0.033."""
_MAX_CACHED = 8
"""Converted networks that are kept on disk."""
_EXAMPLE, _CHECK = (128, 128), (96, 160)
"""Shapes with which a network is converted, and with which the result is checked."""

_log = logging.getLogger(__name__)


def open_network(
    model: nn.Module,
    device: torch.device,
    precision: Precision = "auto",
    engine: Engine = "auto",
    callers: int = 1,
) -> "OpenVinoNetwork | None":
    """Compile a network, or return None where torch is to run it.

    Args:
        model: the network in evaluation mode, float32, on `device`.
        device: device of the network.
        precision: as of `precision.autocast`.
        engine: torch; openvino; or auto, which is OpenVINO on a CPU where it is installed.
        callers: number of threads that call the network at the same time.

    Raises:
        UserError: engine is openvino, and it is not installed or the device is not a CPU.
    """
    require_engine(engine, gpu=device.type != "cpu")
    if engine == "torch" or device.type != "cpu" or not is_openvino_installed():
        return None
    resolved = resolve_precision(precision, device)
    try:
        network = OpenVinoNetwork(model, resolved, callers)
        difference = _difference(network, model)
    except Exception as error:  # of conversion or compilation; almost any
        reason = f"{type(error).__name__}: {first_line(error)}"
    else:
        if difference <= MAX_DIFFERENCE[resolved]:
            return network
        reason = f"its colors differ by {difference:.2g} on average, more than {MAX_DIFFERENCE[resolved]}"
    _log.warning("engine: torch runs the model, because OpenVINO cannot (%s)", reason)
    return None


class OpenVinoNetwork:
    """A compiled network, called like the torch module: L (B, 1, h, w) in [-1, 1] to ab (B, 2, h, w).

    Shapes are dynamic: compiling for each working shape gained 4%. All calls together use as many threads as torch did
    when the network was compiled. Photographs run one by one, which costs 4% too, and makes a color independent of the
    other photographs of the batch. Several threads may call it at the same time.
    """

    def __init__(self, model: nn.Module, precision: Precision, callers: int = 1) -> None:
        """Compile a network in evaluation mode for a number of threads that call it; raises exceptions of OpenVINO."""
        compiled = _core().compile_model(
            _converted(model),
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": {"bf16": "bf16", "fp32": "f32"}[precision],
                "INFERENCE_NUM_THREADS": torch.get_num_threads(),
                "NUM_STREAMS": callers,
                "ENABLE_CPU_PINNING": False,  # several actors of a machine would share the same cores
            },
        )
        self._requests: SimpleQueue[Any] = SimpleQueue()
        for _ in range(callers):
            self._requests.put(compiled.create_infer_request())

    def __call__(self, L: Tensor) -> Tensor:
        """Map L (B, 1, h, w) float32 on the CPU to ab (B, 2, h, w) float32."""
        request = self._requests.get()
        try:
            rows = [request.infer([row[None].contiguous().numpy()], share_inputs=True)[0] for row in L]
        finally:
            self._requests.put(request)
        return torch.cat([torch.from_numpy(ab) for ab in rows])


def _difference(network: OpenVinoNetwork, model: nn.Module) -> float:
    """Return the mean absolute difference of ab from that of torch for a synthetic picture."""
    height, width = _CHECK
    y, x = torch.meshgrid(torch.linspace(0, 6, height), torch.linspace(0, 9, width), indexing="ij")
    L = (50 + 25 * torch.sin(x * y) + 25 * torch.cos(x))[None, None]
    found, expected = (predict_ab(each, L) for each in (network, model))
    return float((found - expected).abs().mean())


def _import() -> Any:
    """Import OpenVINO without its telemetry, which reports every import to a server on the internet."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


@functools.cache
def _core() -> Any:
    """Return the Core of this process, which lives to its end.

    The CPU plugin gives the thread that loads it a stack for signals, and takes it away when it is destroyed. Where
    that happens in another thread, the next signal is a segmentation fault.
    """
    return _import().Core()


def _converted(model: nn.Module) -> Any:
    """Return the network in OpenVINO's format, from the disk or converted now; conversion takes 2 to 14 s."""
    openvino = _import()
    folder = _cache_folder() / _identity(model, openvino.get_version())
    files = folder / "network.xml", folder / "network.bin"
    if all(file.exists() for file in files):
        os.utime(folder)
        return _core().read_model(*map(str, files))
    network = _convert(model)
    with suppress(OSError):  # without a writable folder, every process converts
        _store(network, folder)
    return network


def _convert(model: nn.Module) -> Any:
    # openvino.convert_model does the same, and reports to the telemetry.
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of tracing, which torch deprecates
        decoder = TorchScriptPythonDecoder(
            model.to(memory_format=torch.contiguous_format),
            example_input=torch.zeros(1, 1, *_EXAMPLE),
            shared_memory=False,
        )
        front_end = FrontEndManager().load_by_framework("pytorch")
        network = front_end.convert(front_end.load(decoder))
    network.reshape([-1, 1, -1, -1])
    return network


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "colorize" / "openvino"


def _identity(model: nn.Module, version: str) -> str:
    """Return a hash of all that the converted network depends on."""
    identity = hashlib.sha256(f"{colorize_core.__version__} {version} {torch.__version__} {model!r}".encode())
    for name, tensor in model.state_dict().items():
        identity.update(name.encode())
        identity.update(tensor.contiguous().view(-1).view(torch.uint8).numpy())
    return identity.hexdigest()


def _store(network: Any, folder: Path) -> None:
    """Store a converted network, which appears when it is whole, and delete those that were not used for longest."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".writing-"))
    try:
        _import().save_model(network, str(scratch / "network.xml"), compress_to_fp16=False)
        if not folder.exists():
            scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    stored = sorted(
        (each for each in folder.parent.iterdir() if not each.name.startswith(".")),
        key=lambda each: each.stat().st_mtime,
    )
    for old in stored[:-_MAX_CACHED]:
        shutil.rmtree(old, ignore_errors=True)
