"""The results of the encoder's Triton kernels in Triton's interpreter, without a GPU.

Skipped if Triton is not installed. On a GPU, `kernels_bench.py` checks the same of the compiled kernels.
"""

from pathlib import Path

import pytest
import torch
from interpreter import interpreted
from nemo_parts import conformer

from src.engine.encoder.fastconformer import FastConformerEncoder

pytest.importorskip("triton")

pytestmark = pytest.mark.timeout(600)  # the interpreter is slow, beside other processes slower still

BENCHES = Path(__file__).parents[2] / "benches"
WHOLE = """
import copy, sys
import torch
from src.engine.encoder.selfcheck import relative_error
from src.engine.encoder.triton_operations import TritonOperations

counts = torch.tensor([50, 27])
features = torch.randn(2, 8, 50) * (torch.arange(50) < counts[:, None])[:, None]
for plain in torch.load(sys.argv[1], weights_only=False):
    fused = copy.copy(plain)
    fused.operations = TritonOperations()
    expected, expected_counts = plain(features, counts)
    found, found_counts = fused(features, counts)
    assert found_counts.tolist() == expected_counts.tolist() == [7, 4]
    assert found.isfinite().all()
    error = relative_error(found, expected, counts=expected_counts)
    assert error < 1e-5, error
    print("compared")
"""
"""Reads encoders from a file: the interpreter needs a process of its own, and importing NeMo there would take long."""


def test_each_step_gives_what_plain_pytorch_gives_and_reads_no_padding():
    interpreted(str(BENCHES / "kernels_bench.py"), "--device", "cpu")


def test_the_encoder_gives_the_same_with_full_and_local_attention(tmp_path):
    nemos = conformer(feat_in=8, n_layers=1)
    encoders = [
        FastConformerEncoder(nemos, torch.device("cpu"), torch.float32, context=context) for context in (None, 2)
    ]
    torch.save(encoders, tmp_path / "encoders")
    assert interpreted("-c", WHOLE, str(tmp_path / "encoders")) == "compared\n" * 2
