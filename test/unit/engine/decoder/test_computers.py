"""A network's computers."""

import torch

from src.engine.decoder.computers import missing_for_keywords


def test_what_keywords_need_is_asked_of_a_gpu_alone(monkeypatch):
    monkeypatch.setattr("src.engine.toolchain.missing", lambda: "there is no C compiler")
    assert missing_for_keywords(torch.device("cuda")) == "there is no C compiler"
    assert missing_for_keywords(torch.device("cpu")) is None
