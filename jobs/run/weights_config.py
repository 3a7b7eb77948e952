"""Configuration of published weights that a job loads."""

from dataclasses import dataclass

from cluster.config.loading import Section
from jobs.run.requirements import PretrainedWeights


@dataclass(frozen=True)
class WeightsSource:
    """Where weights come from."""

    path: str | None
    """Path or URI; None downloads them."""


class FidOptions(Section):
    """Distances between the set of pictures and the set of photographs."""

    weights: str | None = None
    """`download`, or path or URI of torch-fidelity's weights of FID's Inception; not computed when empty."""

    def source(self) -> WeightsSource | None:
        """Where the weights come from; None where FID is not wanted."""
        if self.weights is None:
            return None
        return WeightsSource(None if self.weights == "download" else self.weights)

    def requirements(self) -> dict[str, PretrainedWeights]:
        """The weights that workers load, by key."""
        source = self.source()
        return {"fid.weights": PretrainedWeights(source.path, "inception")} if source else {}
