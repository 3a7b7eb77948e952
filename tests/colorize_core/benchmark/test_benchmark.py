import io
import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image

from colorize_core.benchmark.baselines import inference, kernels, preparation
from colorize_core.benchmark.baselines.timing import STAGE_OF, Kernel, KernelTimer, by_stage
from colorize_core.benchmark.baselines.training import (
    LoopPhotographs,
    StepOptions,
    loop_images_per_second,
    make_step,
    step_images_per_second,
)
from colorize_core.benchmark.machine import machine_facts, machine_line
from colorize_core.benchmark.model_speed import Setting, matmul_peak, measure, speed_table
from colorize_core.benchmark.process_usage import ProcessTree, UsageMonitor
from colorize_core.benchmark.sample_photos import HEIGHT, WIDTH, sample_photographs
from colorize_core.benchmark.tables import figure_table, stacked_bars
from colorize_core.color.kernels import pixels_to_lab_rows
from colorize_core.color.lab import lab_to_uint8
from colorize_core.colorizer import Colorizer
from colorize_core.data.screening import ResizePolicy, to_square
from colorize_core.data.shards import images_to_lab
from colorize_core.models import build_model
from colorize_core.models.base import ColorModel
from colorize_core.photo.decode import decode
from colorize_core.photo.formats import encode_image
from colorize_core.runtime.stage_timer import INFER, STAGES

SIZE = 64
CPU = torch.device("cpu")
LOOPS = [
    inference.with_skimage,
    pytest.param(
        inference.with_opencv, marks=pytest.mark.skipif(not inference.has_opencv(), reason="OpenCV is not installed")
    ),
]


@pytest.fixture(scope="module")
def photographs() -> list[bytes]:
    return list(sample_photographs(4, gray=True))


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Benchmarks set the number of threads; other tests keep theirs."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def colorful_model() -> ColorModel:
    torch.manual_seed(0)
    model = build_model("lite").eval()
    with torch.no_grad():
        model.to_ab.weight.mul_(15)
    return model


def square_photograph() -> bytes:
    photograph = Image.open(io.BytesIO(next(sample_photographs(1, gray=True))))
    return encode_image(photograph.crop((80, 0, 80 + HEIGHT, HEIGHT)), "JPEG", quality=95)


def lab(jpeg: bytes) -> np.ndarray:
    return pixels_to_lab_rows(np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")))


def test_sample_photographs_are_reproducible_and_gray_on_request() -> None:
    for gray, mode in ((True, "L"), (False, "RGB")):
        first, second = (list(sample_photographs(5, gray=gray)) for _ in range(2))
        assert first == second
        assert len(set(first)) == 5
        assert all(Image.open(io.BytesIO(data)).size == (WIDTH, HEIGHT) for data in first)
        assert Image.open(io.BytesIO(first[0])).mode == mode


@pytest.mark.parametrize("loop", LOOPS)
def test_baseline_loops_produce_the_colorizers_image(loop: inference.Loop) -> None:
    model, data = colorful_model(), square_photograph()
    theirs = lab(loop(inference.SquareModel(model, SIZE), data, KernelTimer()))
    colorizer = Colorizer(model, SIZE, "cpu", upsampling="bilinear", precision="fp32")
    image = colorizer.colorize([data], "jpeg")[0].image
    assert image is not None
    ours = lab(image)
    assert np.hypot(*ours[1:]).mean() > 4  # there is something to compare
    # Codecs and roundings differ, and so do colors outside sRGB, which others clip by channel.
    assert np.abs(ours - theirs).mean() < 0.7
    assert np.median(np.abs(ours[1:] - theirs[1:])) < 0.7


@pytest.mark.parametrize("loop", LOOPS)
def test_a_loop_is_timed_by_kernel(loop: inference.Loop, photographs: list[bytes]) -> None:
    timing = inference.time_loop(loop, inference.SquareModel(colorful_model(), SIZE), photographs[:2], threads=1)
    assert timing.seconds > 0
    assert set(timing.kernels) == set(Kernel)
    assert sum(by_stage(timing.kernels).values()) == pytest.approx(sum(timing.kernels.values()))


def test_every_kernel_belongs_to_a_stage_of_archive_runs() -> None:
    assert set(STAGE_OF) == set(Kernel)
    assert set(STAGE_OF.values()) < set(STAGES)


def test_every_kernel_has_a_limit(photographs: list[bytes]) -> None:
    found = kernels.measure_kernels(colorful_model(), SIZE, photographs)
    assert set(found) == set(Kernel)
    assert all(value > 0 for value in found.values())


def test_the_kernels_keep_a_gray_photograph_unchanged(photographs: list[bytes]) -> None:
    pixels = kernels.decode(photographs[0])
    L = kernels.pixels_to_lab(pixels, CPU)
    rgb = kernels.to_srgb(L, kernels.upsample(torch.zeros(1, 2, 48, 64), L))
    assert np.abs(rgb.astype(int) - pixels[..., None]).max() <= 1


def test_the_colorizer_alone_is_timed_by_stage(photographs: list[bytes]) -> None:
    found = kernels.measure_colorizer(Colorizer(colorful_model(), SIZE, "cpu"), photographs)
    assert set(found) < set(STAGES)
    assert found[INFER] > 0


def test_usage_includes_child_processes() -> None:
    burn = "import time; block = bytearray(60_000_000)\nwhile time.process_time() < 0.6: pass"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"
    process = subprocess.Popen([sys.executable, "-c", parent])
    with UsageMonitor(process.pid, interval=0.02) as usage:
        process.wait()
    assert usage.core_seconds(usage.samples[0].time, usage.samples[-1].time) > 0.4
    assert usage.peak_memory > 60_000_000 > usage.peak_root_memory


def test_the_cpu_time_of_an_ended_child_stays_counted() -> None:
    burn = "import sys, time\nwhile time.process_time() < 0.3: pass\nprint(flush=True); sys.stdin.read()"
    child = subprocess.Popen([sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin
    assert child.stdout
    child.stdout.readline()
    tree = ProcessTree(os.getpid())
    running = tree.sample().core_seconds
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, and not yet waited for
    ended = tree.sample().core_seconds
    child.wait()
    waited_for = tree.sample().core_seconds
    assert running <= ended <= waited_for < running + 0.3


def test_loop_photographs_are_in_network_units(tmp_path: os.PathLike[str]) -> None:
    file = os.path.join(tmp_path, "one.jpg")
    with open(file, "wb") as sink:
        sink.write(next(sample_photographs(1, gray=False)))
    pixels = np.asarray(Image.open(file).resize((SIZE, SIZE), Image.Resampling.BICUBIC))
    expected = pixels_to_lab_rows(pixels)
    L, ab = LoopPhotographs([file], SIZE)[0]
    flipped = torch.flip(L, [2]), torch.flip(ab, [2])
    L, ab = min(
        ((L, ab), flipped), key=lambda pair: float((pair[0] - torch.from_numpy(expected[:1] / 50 - 1)).abs().sum())
    )
    np.testing.assert_allclose(L.numpy(), expected[:1] / 50 - 1, atol=1e-4)
    np.testing.assert_allclose(ab.numpy(), expected[1:] / 110, atol=1e-4)


def test_training_loops_update_the_weights(tmp_path: os.PathLike[str]) -> None:
    files = [os.path.join(tmp_path, f"{number}.jpg") for number in range(2)]
    for file, data in zip(files, sample_photographs(2, gray=False), strict=True):
        with open(file, "wb") as sink:
            sink.write(data)
    options = StepOptions("fp32", retain_memory=False)
    for measure_loop in (
        lambda model: loop_images_per_second(model, files, 32, 2, 1, cores=1, device=CPU),
        lambda model: step_images_per_second(model, 32, 2, 1, cores=1, device=CPU, options=options),
    ):
        model = build_model("encoder_decoder", widths=[8, 8], latent=8)
        before = [parameter.detach().clone() for parameter in model.parameters()]
        assert measure_loop(model) > 0
        assert any(not torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))


def test_ablations_switch_off_each_active_optimization() -> None:
    assert list(StepOptions().ablations()) == ["bf16", "channels_last", "fused optimizer", "kept memory"]
    ablations = StepOptions("fp32", compiled=True).ablations()
    assert list(ablations) == ["channels_last", "fused optimizer", "kept memory", "compile"]


def test_steps_follow_their_options() -> None:
    plain = make_step(build_model("lite"), CPU, StepOptions(channels_last=False, fused=False))
    usual = make_step(build_model("lite"), CPU, StepOptions())
    for step, has in ((plain, False), (usual, True)):
        kernel = next(value for value in step.network.parameters() if value.shape[1:3] == (16, 3))
        assert kernel.is_contiguous(memory_format=torch.channels_last) is has
        assert step.optimizer.optimizer.defaults["fused"] is has


@pytest.mark.parametrize("name", preparation.LOOPS)
def test_preparation_loops_produce_what_shards_hold(name: str) -> None:
    data = next(sample_photographs(1, gray=False))
    found = preparation.LOOPS[name](data, SIZE)
    L, ab = lab_to_uint8(images_to_lab(to_square(decode(data), ResizePolicy(SIZE, "crop"))[None]))
    ours = torch.cat((L, ab), dim=1)[0].permute(1, 2, 0).numpy()
    assert np.abs(found.astype(int) - ours).mean() < 1.5  # pixel values; the resampling filters differ


def test_model_speeds_are_formatted_as_a_table() -> None:
    peak = matmul_peak(CPU, "fp32", 1)
    rows = measure(Setting("lite", 32, 2, "fp32", "eager"), device=CPU, repeats=1, peak=peak)
    assert [row.work for row in rows] == ["forward", "training step"]
    assert all(row.images_per_second > 0 and row.memory_bytes > 0 and row.fraction_of_peak > 0 for row in rows)
    assert "| lite | training step | 32 | 2 | fp32 | eager |" in speed_table(rows)


def test_a_machine_is_described_in_one_line() -> None:
    line = machine_line(machine_facts())
    assert "cores of" in line
    assert "\n" not in line


def test_missing_figures_are_dashes() -> None:
    assert figure_table(("", "ms"), [("a", 1.25), ("b", None)]) == "|  | ms |\n|---|---:|\n| a | 1.2 |\n| b | – |"


def test_stacked_bars_are_a_png() -> None:
    chart = stacked_bars({"ours": {"decode": 1.0, "infer": 5.0}, "theirs": {"infer": 9.0}}, STAGES, "ms")
    assert Image.open(io.BytesIO(chart)).format == "PNG"
