"""What follows from the machine: size, weights, precision, XLA; all of it said."""

import dataclasses
import os
from types import SimpleNamespace

import pytest

from build.errors import UserError
from build.gpu_troubles import troubles_told
from build.recipes import find
from build.train import hardware
from build.train.hardware import Machine, decide, describe

AUTO = dataclasses.replace(find("podium"), size="auto", weights="auto", precision="auto", xla="auto")
CPU = Machine("tensorflow", 2)
H100 = Machine("tensorflow", 16, ("H100",), 80.0, (9, 0))
T4 = Machine("tensorflow", 4, ("T4",), 15.0, (7, 5))
OLD = Machine("tensorflow", 4, ("K80",), 12.0, (3, 7))
TWO = Machine("tensorflow", 16, ("H100", "H100"), 80.0, (9, 0))


def test_a_cpu_trains_atto_from_drawn_weights_in_float32_without_xla():
    decision = decide(AUTO, CPU)
    assert (decision.size, decision.weights, decision.precision, decision.xla) == ("atto", "drawn", "float32", False)
    assert decision.steps_per_execution == 1
    assert decision.threads == 2


def test_a_gpu_trains_a_larger_one_with_imagenet_weights_in_half_precision_with_xla():
    decision = decide(AUTO, H100)
    assert (decision.size, decision.weights) == ("base", "imagenet")
    assert (decision.precision, decision.xla) == ("mixed_bfloat16", True)
    assert decision.steps_per_execution > 1


def test_a_small_gpu_gets_a_smaller_one_and_the_type_that_it_is_fast_in():
    assert (decide(AUTO, T4).size, decide(AUTO, T4).precision) == ("tiny", "mixed_float16")
    assert decide(AUTO, OLD).precision == "float32"


def test_a_card_of_24_gib_which_shows_less_trains_base():
    assert decide(AUTO, dataclasses.replace(T4, gpu_gib=22.0)).size == "base"
    assert decide(AUTO, dataclasses.replace(T4, gpu_gib=16.0)).size == "tiny"


def test_several_gpus_are_all_used_under_tensorflow_and_xla_is_off_there():
    assert (decide(AUTO, TWO).replicas, decide(AUTO, TWO).xla) == (2, False)
    assert decide(AUTO, dataclasses.replace(TWO, backend="jax")).replicas == 1


def test_of_gpus_that_do_not_divide_the_batch_some_stay_out_and_that_is_said():
    seven = dataclasses.replace(TWO, gpus=("H100",) * 7)
    assert decide(AUTO, seven).replicas == 4
    assert "on 4 of them (one is worth 16 images a step)," in describe(AUTO, seven, decide(AUTO, seven))
    assert decide(dataclasses.replace(AUTO, batch=63), seven).replicas == 3
    # Shares of fewer than 16 images are not worth a GPU.
    assert decide(AUTO, dataclasses.replace(TWO, gpus=("H100",) * 8)).replicas == 4
    assert decide(dataclasses.replace(AUTO, batch=256), dataclasses.replace(TWO, gpus=("H100",) * 8)).replicas == 8
    assert decide(dataclasses.replace(AUTO, batch=24), TWO).replicas == 1
    assert "worth" not in describe(AUTO, TWO, decide(AUTO, TWO))


def test_jax_is_compiled_on_a_cpu_too():
    assert decide(AUTO, dataclasses.replace(CPU, backend="jax")).xla
    assert not decide(dataclasses.replace(AUTO, xla="off"), dataclasses.replace(CPU, backend="jax")).xla


def test_memory_is_that_of_the_cards_that_the_framework_sees(monkeypatch):
    told = "NVIDIA RTX A6000, 49140\nNVIDIA T400 4GB, 4096\n"
    monkeypatch.setattr(hardware.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=told))
    assert hardware._gpu_gib(("NVIDIA RTX A6000",)) == pytest.approx(48, abs=0.1)
    assert hardware._gpu_gib(("NVIDIA RTX A6000", "NVIDIA T400 4GB")) == 4
    assert hardware._gpu_gib(("another name",)) == 4
    assert hardware._gpu_gib(("NVIDIA H100 80GB HBM3 MIG 1g.10gb",)) == 0  # a slice of a card


def test_a_gpu_that_the_framework_does_not_see_is_told_with_what_to_do(monkeypatch):
    monkeypatch.setattr(hardware, "nvidia_smi", lambda: "/usr/bin/nvidia-smi")
    machine = dataclasses.replace(hardware.find(), gpus=())
    assert machine.unseen_gpu
    said = describe(AUTO, machine, decide(AUTO, machine))
    assert "NVIDIA's driver is here, but tensorflow sees no GPU" in said
    assert "nox -s install -- gpu" in said
    monkeypatch.setattr(hardware, "nvidia_smi", lambda: None)
    assert "NVIDIA" not in describe(AUTO, hardware.find(), decide(AUTO, machine))


def test_what_a_recipe_says_is_done_on_every_machine():
    said = dataclasses.replace(AUTO, size="nano", weights="none", precision="float32", xla="on")
    for machine in (CPU, H100):
        decision = decide(said, machine)
        assert (decision.size, decision.weights, decision.precision, decision.xla) == ("nano", "none", "float32", True)


def test_sizes_and_networks_without_published_weights_start_from_scratch_on_a_gpu_too():
    assert decide(dataclasses.replace(AUTO, size="nano"), H100).weights == "none"
    assert decide(dataclasses.replace(AUTO, size="atto"), H100).weights == "drawn"
    assert decide(dataclasses.replace(AUTO, network="custom-cnn"), H100).weights == "none"


@pytest.mark.parametrize("setting", ["precision", "xla"])
def test_unknown_words_are_one_sentence(setting):
    with pytest.raises(UserError, match=rf"{setting} auto.*'fast'"):
        decide(dataclasses.replace(AUTO, **{setting: "fast"}), CPU)


def test_the_decision_is_said():
    said = describe(AUTO, CPU, decide(AUTO, CPU))
    for part in ("CPU, 2 cores", "tensorflow", "convnext atto", "drawn images", "chosen by hardware", "XLA off"):
        assert part in said
    said = describe(AUTO, TWO, decide(AUTO, TWO))
    for part in ("2 x H100, 80 GiB", "convnext base", "ImageNet", "mixed_bfloat16"):
        assert part in said
    fixed, on_jax = dataclasses.replace(AUTO, deterministic=True), dataclasses.replace(H100, backend="jax")
    assert "XLA on" in describe(AUTO, H100, decide(AUTO, H100))
    assert "XLA off" in describe(fixed, H100, decide(fixed, H100))
    assert "XLA on" in describe(fixed, on_jax, decide(fixed, on_jax))
    fixed = dataclasses.replace(AUTO, size="atto", weights="none")
    assert "chosen" not in describe(fixed, CPU, decide(fixed, CPU))


def test_this_machine_is_found():
    machine = hardware.find()
    assert machine.backend in ("tensorflow", "jax")
    assert machine.cores == len(os.sched_getaffinity(0))
    assert str(machine.cores) in machine.device


def test_another_backend_is_refused(monkeypatch):
    monkeypatch.setattr(hardware.keras.backend, "backend", lambda: "torch")
    with pytest.raises(UserError, match=r"TensorFlow and the JAX.*'torch'.*KERAS_BACKEND"):
        hardware.find()


def test_several_gpus_take_one_step_a_call():
    """keras' loop of several steps breaks under MirroredStrategy."""
    assert decide(AUTO, dataclasses.replace(H100, gpus=H100.gpus * 2)).steps_per_execution == 1


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (RuntimeError("failed call: CUDA_ERROR_OUT_OF_MEMORY: out of memory"), "memory does not suffice"),
        (RuntimeError("RESOURCE_EXHAUSTED: no room"), "memory does not suffice"),
        (RuntimeError("DNN library initialization failed"), "cuDNN does not start"),
        (RuntimeError("INTERNAL: Autotuning failed for HLO: %conv CUDNN_STATUS_NOT_SUPPORTED"), "xla=off"),
        (RuntimeError("No algorithm worked!"), "precision=float32"),
        (
            RuntimeError("INTERNAL: 'cuLaunchKernel(...)' failed with 'CUDA_ERROR_INVALID_HANDLE'"),
            r"has no kernels for this GPU; .* CUDA_VISIBLE_DEVICES=-1 JAX_PLATFORMS=cpu\.$",
        ),
    ],
)
def test_what_a_gpu_refuses_is_a_sentence_wherever_it_comes_up(error, says):
    with pytest.raises(UserError, match=says), troubles_told():
        raise error


def test_the_weakest_of_several_gpus_says_what_they_can(monkeypatch):
    import tensorflow as tf

    cards = {
        "a": {"device_name": "A100", "compute_capability": (8, 0)},
        "t": {"device_name": "T4", "compute_capability": (7, 5)},
    }
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: list(cards))
    monkeypatch.setattr(tf.config.experimental, "get_device_details", cards.get)
    monkeypatch.setattr(hardware, "_gpu_gib", lambda _: 15.0)
    found = hardware.find()
    assert (found.gpus, found.capability) == (("A100", "T4"), (7, 5))


def test_other_errors_stay_what_they_are():
    for error in (UserError("DNN library"), ValueError("a fault of ours")):
        with pytest.raises(type(error), match=str(error)), troubles_told():
            raise error


def test_a_run_that_goes_on_elsewhere_says_what_it_keeps():
    theirs, here = decide(AUTO, H100), decide(AUTO, CPU)
    assert hardware.other_machine(here, here) == ""
    assert "goes on as it began, in mixed_bfloat16 with XLA on" in hardware.other_machine(theirs, here)
