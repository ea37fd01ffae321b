"""The release of NeMo that the engine is written for, and every name of it that the engine uses, replaces or patches.

Most of these names are not NeMo's public API. The engine sets NeMo's attributes, reads its decoding state, writes its
table of boosting trees and replaces its capture of CUDA graphs. Another release may rename any of them. Some renames
would raise somewhere in the middle of a request; others, such as that of `dither`, would only change the texts. So the
engine runs on this one release, and `check` says so when a model is loaded.
"""

import dis
import importlib
import inspect
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from types import CodeType, ModuleType

from src.engine.device_errors import one_line
from src.errors import ModelUnavailable

NEMO_VERSION = "3.0.0"
"""As pinned in pyproject.toml. Every remark on NeMo's behaviour in `src` is about this release."""

_DISTRIBUTION = "nemo_toolkit"
_INSTALL = f"pip install '{_DISTRIBUTION}[asr]=={NEMO_VERSION}'"

_ASR = "nemo.collections.asr"
_SUBMODULES = f"{_ASR}.parts.submodules"
_LOOPING = f"{_SUBMODULES}.transducer_decoding"

_COMPUTER = (
    "__call__",
    "_after_inner_loop_store_labels",  # replaced, to keep the prediction network's outputs
    "_get_batched_decoding_state_after_sos",
    "_graph_reinitialize",  # replaced, to give graphs memory of their own
    "biasing_multi_model",  # set, as two computers share a table
    "cuda_graphs_allow_fallback",  # set
    "cuda_graphs_mode",  # set
    "disable_cuda_graphs",
    "force_cuda_graphs_mode",
    "reset_cuda_graphs_state",
    "state",
)
_TDT_COMPUTER = (
    *_COMPUTER,
    "_blank_index",
    "durations",
    "fusion_models",
    "max_symbols",
)
_GRAPH_STATE = ("batch_indices", "batch_size", "batched_hyps", "decoder_output", "max_time")

NAMES: Mapping[str, tuple[str, ...]] = {
    # The network: restored, set up and taken apart.
    f"{_ASR}.models.ASRModel": ("restore_from",),
    f"{_ASR}.models.EncDecRNNTBPEModel": (
        "cfg",
        "change_attention_model",
        "change_decoding_strategy",
        "change_subsampling_conv_chunking_factor",
        "decoder",
        "decoding",
        "encoder",  # set to None once the engine's own encoder has taken over
        "joint",
        "preprocessor",
        "tokenizer",
    ),
    f"{_ASR}.modules.AudioToMelSpectrogramPreprocessor": ("featurizer",),
    f"{_ASR}.parts.preprocessing.features.FilterbankFeatures": (
        "dither",  # set
        "exact_pad",
        "fb",
        "frame_splicing",
        "hop_length",
        "log",
        "log_zero_guard_type",
        "log_zero_guard_value_fn",
        "mag_power",
        "n_fft",
        "normalize",
        "pad_to",  # set
        "pad_value",
        "preemph",
        "use_grads",
        "win_length",
        "window",
    ),
    "nemo.collections.common.tokenizers.sentencepiece_tokenizer.SentencePieceTokenizer": (
        "ids_to_tokens",
        "tokenizer",
        "vocab_size",
    ),
    # The encoder: its weights are read, and its attention is exchanged.
    f"{_ASR}.modules.ConformerEncoder": (
        "att_context_size",  # set
        "att_context_style",
        "d_model",
        "global_tokens",
        "layers",
        "out_proj",
        "pos_enc",  # set
        "pre_encode",
        "reduction_position",
        "self_attention_model",  # set
        "subsampling_factor",
        "xscale",
    ),
    f"{_SUBMODULES}.subsampling.ConvSubsampling": ("_subsampling", "conv", "is_causal", "out", "subsampling_factor"),
    f"{_SUBMODULES}.conformer_modules.ConformerLayer": (
        "conv",
        "fc_factor",
        "feed_forward1",
        "feed_forward2",
        "is_adapter_available",
        "norm_conv",
        "norm_feed_forward1",
        "norm_feed_forward2",
        "norm_out",
        "norm_self_att",
        "self_attention_model",  # set
        "self_attn",  # set
    ),
    f"{_SUBMODULES}.conformer_modules.ConformerConvolution": (
        "activation",
        "batch_norm",
        "depthwise_conv",
        "norm_type",
        "pointwise_activation",
        "pointwise_conv1",
        "pointwise_conv2",
    ),
    f"{_SUBMODULES}.conformer_modules.ConformerFeedForward": ("activation", "linear1", "linear2"),
    f"{_SUBMODULES}.causal_convs.CausalConv1D": ("_left_padding", "_right_padding"),
    f"{_SUBMODULES}.multi_head_attention.RelPositionMultiHeadAttention": (
        "h",
        "linear_k",
        "linear_out",
        "linear_pos",
        "linear_q",
        "linear_v",
        "pos_bias_u",
        "pos_bias_v",
    ),
    # The decoder.
    f"{_ASR}.modules.RNNTDecoder": ("predict", "prediction"),
    f"{_ASR}.modules.RNNTJoint": (
        "enc",
        "joint_after_projection",
        "joint_net",
        "pred",
        "project_encoder",
        "project_prednet",
    ),
    f"{_SUBMODULES}.rnnt_decoding.RNNTBPEDecoding": ("cfg", "decoding", "durations"),
    f"{_SUBMODULES}.rnnt_greedy_decoding.GreedyBatchedRNNTInferConfig": ("enable_per_stream_biasing",),
    f"{_SUBMODULES}.rnnt_greedy_decoding.GreedyBatchedRNNTInfer": ("decoding_computer",),
    f"{_SUBMODULES}.rnnt_greedy_decoding.GreedyBatchedTDTInfer": ("decoding_computer",),
    f"{_LOOPING}.rnnt_label_looping": ("run_nvrtc", "with_conditional_node"),  # replaced while a graph is captured
    f"{_LOOPING}.rnnt_label_looping.GreedyBatchedRNNTLabelLoopingComputer": _COMPUTER,
    f"{_LOOPING}.rnnt_label_looping.LabelLoopingState": _GRAPH_STATE,
    f"{_LOOPING}.tdt_label_looping": ("cu_call", "run_nvrtc", "with_conditional_node"),
    f"{_LOOPING}.tdt_label_looping.GreedyBatchedTDTLabelLoopingComputer": _TDT_COMPUTER,
    f"{_LOOPING}.tdt_label_looping.LabelLoopingState": _GRAPH_STATE,
    f"{_LOOPING}.label_looping_base.BatchedLabelLoopingState": (
        "decoded_lengths",
        "fusion_states_list",
        "labels",
        "predictor_outputs",
        "predictor_states",
        "time_jumps",
    ),
    f"{_LOOPING}.batched_hyps.BatchedHyps": ("current_lengths", "timestamps", "transcript"),
    # The table of boosting trees, which the engine fills itself.
    f"{_ASR}.parts.context_biasing.biasing_multi_model.GPUBiasingMultiModel": (
        "_extend_num_models",
        "_maybe_extend_arcs_and_states",
        "all_arcs_weights",
        "all_backoff_to_states",
        "all_backoff_weights",
        "all_ilabels",
        "all_start_end_arcs",
        "all_to_states",
        "model2alpha",
        "model2arcs_offset",
        "model2states_offset",
        "num_models_reserved",
        "reallocation_callbacks",
        "use_triton",  # set
        "vocab_size",
    ),
}
"""The names that the engine uses, by the dotted name of the class or module that has them.

`cudart` of the two label looping modules is not among them: without the package cuda-python they lack it, and capture
no loops.
"""


def check(names: Mapping[str, tuple[str, ...]] = NAMES) -> None:
    """Import NeMo and compare it with this contract.

    Raises:
        ModelUnavailable: NeMo is not installed or cannot be imported, is another release, or lacks one of `names`. The
            message is one sentence that says what is there, what is needed and what to do.
    """
    try:
        installed = version(_DISTRIBUTION)
    except PackageNotFoundError:
        raise ModelUnavailable(f"NeMo is not installed; run {_INSTALL}.") from None
    if installed.partition("+")[0] != NEMO_VERSION:  # a plus precedes the label of a build (PEP 440)
        raise ModelUnavailable(
            f"NeMo {installed} is installed, but this service uses internals of NeMo {NEMO_VERSION}; run {_INSTALL}."
        )
    try:
        missing = list(missing_names(names))
    except Exception as error:  # a package that NeMo needs is missing or does not fit
        raise ModelUnavailable(
            f"NeMo {installed} is installed but cannot be imported ({one_line(error)}); run {_INSTALL}."
        ) from error
    if missing:
        others = f" and {len(missing) - 3} more names" if len(missing) > 3 else ""
        raise ModelUnavailable(
            f"NeMo {installed} is installed, but without {', '.join(missing[:3])}{others}, which this service uses and "
            f"the release has; run {_INSTALL} --force-reinstall --no-deps."
        )


def missing_names(names: Mapping[str, tuple[str, ...]] = NAMES) -> Iterator[str]:
    """Yield the dotted names that the installed NeMo lacks, in order.

    Raises:
        Exception: whatever NeMo raises while it is imported, except that it does not have a module.
    """
    for owner_name, members in names.items():
        owner = _resolve(owner_name)
        if owner is None:
            yield owner_name
        else:
            yield from (f"{owner_name}.{member}" for member in members if not _has(owner, member))


def _resolve(name: str) -> ModuleType | type | None:
    """Return the module or class of a dotted name, None if there is none."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not error.name or not f"{name}.".startswith(f"{error.name}."):  # a module that NeMo needs
            raise
    parent, _, last = name.rpartition(".")
    found: ModuleType | type | None = getattr(_resolve(parent), last, None) if parent else None
    return found


def _has(owner: ModuleType | type, member: str) -> bool:
    """Whether a module or a class has an attribute, or the instances of a class have."""
    if hasattr(owner, member):
        return True
    if isinstance(owner, ModuleType):
        return False
    return any(member in vars(base).get("__annotations__", ()) or _sets(base, member) for base in owner.__mro__)


def _sets(owner: type, member: str) -> bool:
    """Whether a method of a class sets an attribute of this name, or registers it by name as torch's modules do."""
    return any(_code_sets(code, member) for code in map(_code_of, vars(owner).values()) if code)


def _code_of(function: object) -> CodeType | None:
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    return code if isinstance(code, CodeType) else None


def _code_sets(code: CodeType, member: str) -> bool:
    if "register_buffer" in code.co_names and member in code.co_consts:
        return True
    if member not in code.co_names:
        return False
    return any(each.opname == "STORE_ATTR" and each.argval == member for each in dis.get_instructions(code))
