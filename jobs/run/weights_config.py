"""Configuration of published weights that a job loads."""

from cluster.config.loading import Section
from colorize_core.metrics.registry import InceptionVariant
from jobs.run.requirements import PretrainedWeights


class FidOptions(Section):
    """Fréchet Inception distance (FID) between the set of color images and the set of photographs."""

    weights: str | None = None
    """Weights of the Inception network of torch-fidelity: `download`, or a path or URI. FID is not computed when
    empty."""
    inception: InceptionVariant = "torch-fidelity"
    """Package whose values are computed. Both use these weights, and differ in how they enlarge images: torch-fidelity
    (and TF-GAN) as TensorFlow 1 did, pytorch-fid as torch does."""

    def source(self) -> PretrainedWeights | None:
        """Return the source of the weights, or None if FID is not to be computed."""
        if self.weights is None:
            return None
        return PretrainedWeights(None if self.weights == "download" else self.weights, "inception")

    def requirements(self) -> dict[str, PretrainedWeights]:
        """Return the weights that workers load, by key."""
        source = self.source()
        return {"fid.weights": source} if source else {}
