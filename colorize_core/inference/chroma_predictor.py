"""Prediction of chroma by one model, or by several models whose predictions are mixed."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from colorize_core.errors import UserError
from colorize_core.inference.batching import BatchPredictor
from colorize_core.inference.engines import Engine
from colorize_core.inference.ensemble import disagreement, mix
from colorize_core.inference.options import EnsembleOptions
from colorize_core.inference.prediction import enlarge, working_shape
from colorize_core.inference.settings import NetworkChoice
from colorize_core.runtime.precision import Precision

Lightness = Mapping[int, Tensor]
"""(1, 1, h, w) lightness of a photograph in [0, 100] at its content shape, by working size."""


class Prediction(NamedTuple):
    """Predicted chroma of a photograph."""

    ab: Tensor
    """(1, 2, h, w) a and b in CIELAB units, at the content shape of the largest working size."""
    disagreement: float | None
    """Difference of the models (`ensemble.disagreement`); None for one model."""


@dataclass(frozen=True)
class _Member:
    model: nn.Module
    predictor: BatchPredictor
    working_size: int


class ChromaPredictor:
    """One or several models, each with its own working size."""

    def __init__(
        self,
        models: Mapping[str, tuple[nn.Module, int]],
        device: torch.device,
        precision: Precision = "auto",
        ensemble: EnsembleOptions | None = None,
        engine: Engine = "torch",
        threads: int = 1,
    ) -> None:
        """Move the models to the device, in evaluation mode.

        Args:
            models: network and working size by name.
            device: device of all models.
            precision: that of `precision.autocast`.
            ensemble: how predictions of several models are mixed; their mean if None.
            engine: as of `openvino_network.open_network`.
            threads: number of threads that predict at the same time, if that is possible (`concurrent`).

        Raises:
            UserError: the options of the ensemble do not fit the models, or the engine not the machine.
        """
        self._ensemble = ensemble or EnsembleOptions()
        if len(models) > 1 or ensemble:
            self._ensemble.require_members(models)
        self._make_predictor = partial(
            BatchPredictor, device=device, precision=precision, engine=engine, threads=threads
        )
        self._members: Mapping[str, _Member] = {
            name: _Member(model, self._make_predictor(model), size) for name, (model, size) in models.items()
        }
        self._chosen: dict[NetworkChoice, ChromaPredictor] = {}

    @property
    def working_sizes(self) -> list[int]:
        """Distinct working sizes, the largest first."""
        return sorted({member.working_size for member in self._members.values()}, reverse=True)

    @property
    def concurrent(self) -> bool:
        """True if several threads may predict at the same time (`BatchPredictor.concurrent`)."""
        return all(member.predictor.concurrent for member in self._members.values())

    def choose(self, choice: NetworkChoice) -> "ChromaPredictor":
        """Return the predictor for a choice; it shares all networks but those with another temperature.

        Raises:
            UserError: no checkpoint has the name, or the model has no temperature.
        """
        if choice == NetworkChoice():
            return self
        if choice not in self._chosen:
            self._chosen[choice] = self._choose(choice)
        return self._chosen[choice]

    def _choose(self, choice: NetworkChoice) -> "ChromaPredictor":
        members = self._members
        if choice.checkpoint is not None:
            if choice.checkpoint not in members:
                names = ", ".join(filter(None, members)) or "the run has one without a name"
                raise UserError(f"checkpoint: {choice.checkpoint!r} is not a name of a checkpoint ({names})")
            members = {choice.checkpoint: members[choice.checkpoint]}
        chosen = copy.copy(self)
        chosen._chosen = {}
        chosen._members = {
            name: replace(
                member if choice.temperature is None else self._at_temperature(member, choice.temperature),
                working_size=choice.working_size or member.working_size,
            )
            for name, member in members.items()
        }
        return chosen

    def _at_temperature(self, member: _Member, temperature: float) -> _Member:
        if getattr(member.model, "temperature", None) is None:
            raise UserError(f"temperature: {type(member.model).__name__} does not predict distributions")
        model = copy.copy(member.model)  # shares the weights
        model.temperature = temperature  # type: ignore[assignment]
        return replace(member, model=model, predictor=self._make_predictor(model))

    def predict(self, lightness: Sequence[Lightness], sizes: Sequence[tuple[int, int]]) -> list[Prediction | None]:
        """Predict the chroma of photographs.

        Args:
            lightness: lightness of each photograph at every working size, on the device.
            sizes: full height and width of each photograph.

        Returns:
            A prediction for each photograph; None where a model runs out of memory even with this photograph alone.
        """
        by_member = {name: self._predict(member, lightness, sizes) for name, member in self._members.items()}
        results: list[Prediction | None] = []
        for planes, *predicted in zip(lightness, *by_member.values(), strict=True):
            shape = planes[self.working_sizes[0]].shape[-2:]
            known = [enlarge(ab, shape) for ab in predicted if ab is not None]
            if len(known) < len(predicted):
                results.append(None)
            elif len(known) == 1:
                results.append(Prediction(known[0], None))
            else:
                mixed = mix(dict(zip(by_member, known, strict=True)), self._ensemble)
                results.append(Prediction(mixed, float(disagreement(known)[0])))
        return results

    @staticmethod
    def _predict(
        member: _Member, lightness: Sequence[Lightness], sizes: Sequence[tuple[int, int]]
    ) -> list[Tensor | None]:
        shapes = [working_shape(*size, member.working_size) for size in sizes]
        return member.predictor.predict([planes[member.working_size] for planes in lightness], shapes)
