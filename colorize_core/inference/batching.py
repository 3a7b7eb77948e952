"""Batching of model runs: photographs of equal working shape together, within the available memory."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from colorize_core.inference.engines import Engine
from colorize_core.inference.openvino_network import open_network
from colorize_core.inference.prediction import Network, pad, predict_ab
from colorize_core.runtime.memory import MAX_RETAINED_BYTES
from colorize_core.runtime.oom import run_with_oom_split
from colorize_core.runtime.precision import Precision, autocast


class BatchPredictor:
    """A model that predicts the chroma of photographs of mixed shapes."""

    def __init__(
        self,
        model: nn.Module,
        device: torch.device,
        precision: Precision = "auto",
        engine: Engine = "torch",
        threads: int = 1,
    ) -> None:
        """Move the model to the device, in evaluation mode.

        Args:
            model: the network.
            device: where it runs.
            precision: as of `precision.autocast`.
            engine: as of `openvino_network.open_network`.
            threads: number of threads that predict at the same time, for `concurrent` ones.

        Raises:
            UserError: the engine is not installed, or not for the device.
        """
        self.device = device
        model = model.to(device).eval()
        compiled = open_network(model, device, precision, engine, threads)
        self.concurrent = compiled is not None
        """True if several threads may predict at the same time, each one photograph; torch is fastest with batches,
        which all threads share."""
        # channels_last makes convolutions in bfloat16 fast, and costs nothing in float32.
        self.network: Network = compiled or model.to(memory_format=torch.channels_last)
        self._autocast = autocast(precision, device)
        self._max_batch: dict[tuple[int, int], int] = {}

    def predict(self, lightness: Sequence[Tensor], shapes: Sequence[tuple[int, int]]) -> list[Tensor | None]:
        """Predict chroma, running photographs of equal working shape as one batch.

        Args:
            lightness: (1, 1, h, w) of each photograph in [0, 100], on the device.
            shapes: working shape of each photograph, at least (h, w), to which its lightness is padded.

        Returns:
            (1, 2, h, w) of each photograph, CIELAB units; None for a photograph whose prediction runs out of memory
            even alone.
        """
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        for index, shape in enumerate(shapes):
            groups[shape].append(index)
        results: list[Tensor | None] = [None] * len(lightness)
        for shape, members in groups.items():
            predicted = self._predict_batch(torch.cat([pad(lightness[index], shape) for index in members]))
            for index, ab in zip(members, predicted, strict=True):
                height, width = lightness[index].shape[-2:]
                results[index] = None if ab is None else ab[..., :height, :width]
        return results

    def _predict_batch(self, L: Tensor) -> list[Tensor | None]:
        """Predict chroma of (B, 1, h, w): on a GPU in one batch, on a CPU in small batches.

        A batch on a CPU has as many photographs as keep the largest feature tensor within `MAX_RETAINED_BYTES`, so that
        its memory is reused, but at least one for each thread. With resnet_unet at 256 px, a single batch of 32 takes
        1.6 times as long, and 4 GB instead of 1 GB. The first photograph of each working shape runs alone, to measure
        the features.
        """
        if self.device.type == "cuda" or self.concurrent or len(L) == 1:
            return run_with_oom_split(self._run, L)
        shape = (L.shape[2], L.shape[3])
        if shape not in self._max_batch:
            with _LargestFeatures() as largest:
                first = run_with_oom_split(self._run, L[:1])
            self._max_batch[shape] = max(MAX_RETAINED_BYTES // max(largest.bytes, 1), torch.get_num_threads())
            return first + self._predict_batch(L[1:])
        return [ab for batch in L.split(self._max_batch[shape]) for ab in run_with_oom_split(self._run, batch)]

    def _run(self, L: Tensor) -> Tensor:
        with self._autocast():
            return predict_ab(self.network, L)


class _LargestFeatures(TorchFunctionMode):
    """Measures, while active, the size in bytes of the largest feature tensor (B, C, h, w)."""

    bytes = 0

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a torch function and record the size of its result."""
        result = function(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and result.ndim == 4:
            self.bytes = max(self.bytes, result.nbytes)
        return result
