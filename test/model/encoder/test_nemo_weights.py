"""Which NeMo encoders are converted; `test_fastconformer.py` compares what the converted weights compute."""

import pytest
import torch
from nemo_parts import conformer, with_attention

from src.engine.encoder.nemo_weights import unsupported_reason


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"subsampling": "striding"}, "subsampling is striding by 8"),
        ({"subsampling_factor": 4}, "subsampling is dw_striding by 4"),
        ({"causal_downsampling": True}, "subsampling is causal dw_striding by 8"),
        ({"subsampling": "stacking"}, "subsampling is StackingSubsampling by 8"),
        ({"self_attention_model": "abs_pos"}, "attention is abs_pos"),
        ({"att_context_size": [70, 13], "att_context_style": "chunked_limited"}, "chunked_limited"),
        ({"att_context_size": [10, 5]}, "context is regular, [10, 5]"),
        (with_attention(8) | {"global_tokens": 1}, "1 global tokens"),
        ({"reduction": "pooling", "reduction_position": 1, "reduction_factor": 2}, "reduces its frames"),
        ({"feat_out": 24}, "projects its output"),
        ({"conv_norm_type": "layer_norm"}, "convolutions have layer_norm"),
        ({"conv_context_size": "causal"}, "not centred"),
    ],
    ids=str,
)
def test_an_unsupported_encoder_is_named(changed, says):
    reason = unsupported_reason(conformer(**changed))
    assert reason is not None
    assert says in reason


def test_a_layer_with_another_activation_is_unsupported():
    encoder = conformer()
    encoder.layers[1].feed_forward2.activation = torch.nn.ReLU()
    assert unsupported_reason(encoder) == "its activation is ReLU"
    assert unsupported_reason(torch.nn.Linear(1, 1)) == "it is a Linear"
