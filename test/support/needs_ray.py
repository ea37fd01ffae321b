"""Imports Ray Serve, whose own warnings are not ours: for `pytest.importorskip`, before what imports it."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import ray.serve
    import ray.serve.config

__all__ = ["ray"]
