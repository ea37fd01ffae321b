"""The voice encoder for many threads: loaded once, when first needed, and called for several requests together."""

import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

from src.audio.samples import Samples
from src.engine.voice_encoder import Embeddings, Features, VoiceEncoder

MAX_BATCH = 64
"""Windows in one call of the network. On a core one alone takes 8.9 ms, eight take 4.1 ms each, and 32 take 3.2 ms."""
CORES_PER_CALL = 4
"""CPU cores for each call that runs at a time, as the model and the decoding of audio need the others."""


class _Request:
    """Windows to embed, at most `MAX_BATCH`."""

    def __init__(self, windows: NDArray[np.float32]) -> None:
        self.windows = windows
        self.result: Future[Embeddings] = Future()


class Embedder:
    """Computes features and embeddings. Any number of threads may use it.

    Args:
        load: returns the network.
    """

    def __init__(self, load: Callable[[], VoiceEncoder]) -> None:
        self._load = load
        self._loading = threading.Lock()  # otherwise several threads at the start would each load a network
        self._network: VoiceEncoder | None = None
        self._waiting: deque[_Request] = deque()
        self._taking = threading.Lock()
        self._calls = threading.Semaphore(max(1, (os.cpu_count() or 1) // CORES_PER_CALL))

    def network(self) -> VoiceEncoder:
        """Return the network, and load it if it is not.

        Raises:
            SpeakersUnavailable: its weights are not installed.
        """
        with self._loading:
            if self._network is None:
                self._network = self._load()
            return self._network

    def features(self, samples: Samples) -> Features:
        """Return the features (frames, 40) of 16 kHz samples (samples,)."""
        return self.network().features(samples)

    def embed(self, windows: NDArray[np.float32]) -> Embeddings:
        """Return the embeddings (windows, 256) of windows of features (windows, frames, 40), all of one length.

        The thread that gets a call of the network runs whatever waits, so requests that come together share it.
        """
        self.network()
        requests = [_Request(windows[start : start + MAX_BATCH]) for start in range(0, len(windows), MAX_BATCH)]
        with self._taking:
            self._waiting.extend(requests)
        for request in requests:
            with self._calls:
                while not request.result.done() and self._run_next():
                    pass
        return np.concatenate([request.result.result() for request in requests])

    def _run_next(self) -> bool:
        """Run the requests that have waited longest in one call, and return whether there were any."""
        batch: list[_Request] = []
        with self._taking:
            while self._waiting and sum(len(each.windows) for each in [*batch, self._waiting[0]]) <= MAX_BATCH:
                batch.append(self._waiting.popleft())
        if not batch:
            return False
        try:
            embeddings = self.network().embed(np.concatenate([request.windows for request in batch]))
        except Exception as error:
            for request in batch:
                request.result.set_exception(error)
            return True
        start = 0
        for request in batch:
            request.result.set_result(embeddings[start : start + len(request.windows)])
            start += len(request.windows)
        return True
