"""The contract with NeMo, held against the NeMo that is installed."""

import importlib
import inspect

import pytest

from src.engine.nemo_contract import NAMES, check, missing_names
from src.engine.nemo_model import NemoModel
from src.errors import ModelUnavailable
from src.settings import Settings

LOOPING = "nemo.collections.asr.parts.submodules.transducer_decoding"


@pytest.mark.parametrize("owner", NAMES)
def test_nemo_has_every_name_of_the_contract(tiny, owner):
    assert list(missing_names({owner: NAMES[owner]})) == []


def test_the_installed_nemo_passes_the_check(tiny):
    check()


@pytest.mark.parametrize("kind", ["tdt", "rnnt"])
def test_what_is_patched_for_cuda_graphs_is_there(tiny, kind):
    """`with_conditional_node` yields a stream and a graph; `_graph_reinitialize` takes the encoder's frames alone."""
    module = importlib.import_module(f"{LOOPING}.{kind}_label_looping")
    assert list(inspect.signature(module.with_conditional_node).parameters)[-1] == "device"
    assert "yield body_stream, body_graph" in inspect.getsource(inspect.unwrap(module.with_conditional_node))
    computer = getattr(module, f"GreedyBatched{kind.upper()}LabelLoopingComputer")
    source = inspect.getsource(computer)
    assert list(inspect.signature(computer._graph_reinitialize).parameters) == ["self", "encoder_output_projected"]
    assert source.count("with with_conditional_node(") == 2, "both loops are captured by the patched name"
    assert source.count("self._after_inner_loop_store_labels()") >= 1
    assert not module.CUDA_PYTHON_AVAILABLE or callable(module.cudart.cudaStreamEndCapture)


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (f"{LOOPING}.tdt_label_looping", "with_conditional_node"),
        (f"{LOOPING}.tdt_label_looping.GreedyBatchedTDTLabelLoopingComputer", "_graph_reinitialize"),
    ],
)
def test_a_nemo_without_a_name_ends_the_load_with_one_sentence(tiny, monkeypatch, owner, name):
    monkeypatch.delattr(f"{owner}.{name}")
    with pytest.raises(ModelUnavailable) as error:
        NemoModel.load(Settings(model_id="tiny"))
    assert f"without {owner}.{name}, which this service uses" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_nemo_of_other_behaviour_ends_the_load_with_one_sentence(tiny, monkeypatch):
    from nemo.collections.asr.models import EncDecRNNTBPEModel

    def change(self, decoding_cfg, verbose=True):
        raise AttributeError("'GreedyBatchedTDTInfer' object has no attribute 'decoding_computer'")

    monkeypatch.setattr(EncDecRNNTBPEModel, "change_decoding_strategy", change)
    with pytest.raises(ModelUnavailable) as error:
        NemoModel.load(Settings(model_id="tiny"))
    assert str(error.value).startswith("tiny loads but does not run on cpu in auto: AttributeError: ")
    assert "\n" not in str(error.value)
