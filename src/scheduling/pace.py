"""How long the steps of live text should be: short while the model is idle, long while it is busy.

No clock: times in seconds are given by the caller. From the batches of the last seconds it is known what a batch of
steps costs by itself, what each further step adds, how many people speak, and how much of its time the model spends on
clips. Steps of length s of n speakers take `n * step cost + m * batch cost` seconds of the model in each s seconds, if
they go in m batches; s is chosen so that this is no more than the share of the time that is left for them.

Where steps come often, a batch of them also waits for some more. A model whose batches cost nearly the same with one
step as with twenty would else always be busy with small batches, and clips would wait behind them.
"""

import math

from src.engine.frames import FRAME_SECONDS

LOAD_S = 2.0
"""Time constant of the load, in seconds: what was this long ago counts for about a third."""
COST_S = 10.0
"""The same for what batches cost, which changes less."""
TARGET_SHARE = 0.7
"""Share of the model's time that steps and clips should take together. Batches come at irregular times: a model that
is much busier lets them wait."""
MIN_SHARE = 0.1
"""Share of the model's time for steps, however much clips take."""
MAX_BATCHES = 4
"""Number of batches in which all speakers take a step. With fewer, larger ones, a step would wait a large part of its
length for its batch."""
SERVICE_STEP_S = 0.0006
"""Seconds of the event loop that a step costs, from the round that decodes its audio to the delta that is sent,
measured with `session_overhead_bench.py` and 200 sessions."""
SERVICE_SHARE = 0.15
"""Share of the event loop's time for steps. Most of the rest is for the audio that sessions append."""
MIN_GATHER_S, MAX_GATHER_S = 0.02, 0.04
"""The shortest and the longest wait of a batch of steps for further steps, in seconds. A batch costs the service itself
as much as ten steps in it."""
FRESH_S = 0.05
"""How long a decision holds, in seconds; sessions ask with all audio that comes."""
SHORTER = 0.8
"""Steps get shorter once this share of their length is enough. So their length does not flicker."""


class Pace:
    """Measures the load of the model, and says how long the steps of live text should be.

    Args:
        min_step_s: the length of a step in seconds while the model is idle.
        max_step_s: the longest; if it is no longer than the shortest, all steps are of that length.
        max_batch: most steps in a batch.
    """

    def __init__(self, min_step_s: float, max_step_s: float, max_batch: int) -> None:
        self._min_step_s = min_step_s
        self._max_step_s = max(min_step_s, max_step_s)
        self._max_batch = max_batch
        self._step_s = min_step_s
        self._decided_at = -math.inf
        self._costs = _BatchCosts()
        self._at = 0.0
        # Sums over the last `LOAD_S` seconds, in which what was earlier counts less.
        self._steps = 0.0
        self._audio_s = 0.0
        self._clips_s = 0.0

    def note_steps(self, steps: int, audio_s: float, took_s: float, now: float) -> None:
        """Note that the model has run a batch of `steps` steps, which decoded `audio_s` of audio, in `took_s`."""
        self._forget(now)
        self._steps += steps
        self._audio_s += audio_s
        self._costs.add(steps, took_s)

    def note_clips(self, took_s: float, now: float) -> None:
        """Note that the model has run a batch of clips in `took_s`."""
        self._forget(now)
        self._clips_s += took_s

    def step_s(self, in_progress: int, now: float) -> float:
        """Return the shortest step that live text should take now, in seconds of audio.

        Args:
            in_progress: number of steps that wait or run; that many people speak at least.
            now: the time.
        """
        if now - self._decided_at < FRESH_S:
            return self._step_s
        self._decided_at = now
        self._forget(now)
        wanted_s = min(max(self._wanted_s(in_progress), self._min_step_s), self._max_step_s)
        if wanted_s > self._step_s or wanted_s < SHORTER * self._step_s:
            self._step_s = min(max(_whole_frames(wanted_s), self._min_step_s), self._max_step_s)
        return self._step_s

    def gather_s(self, took_s: float, now: float) -> float:
        """Return how long the next batch of steps waits for more after one that took `took_s`; 0 if few come.

        It is about as long as that batch took, so that steps alone leave half of the model's time to others.
        """
        self._forget(now)
        gather_s = min(max(took_s, MIN_GATHER_S), MAX_GATHER_S)
        return gather_s if self._steps / LOAD_S * gather_s >= 1 else 0.0

    def _wanted_s(self, in_progress: int) -> float:
        speakers = max(self._audio_s / LOAD_S, in_progress)
        batches = max(min(speakers, MAX_BATCHES), speakers / self._max_batch)
        share = max(TARGET_SHARE - self._clips_s / LOAD_S, MIN_SHARE)
        batch_s, step_s = self._costs.estimate()
        of_model_s = (batches * batch_s + speakers * step_s) / share
        of_service_s = speakers * SERVICE_STEP_S / SERVICE_SHARE
        return max(of_model_s, of_service_s)

    def _forget(self, now: float) -> None:
        passed_s = max(0.0, now - self._at)
        self._at = now
        kept = math.exp(-passed_s / LOAD_S)
        self._steps *= kept
        self._audio_s *= kept
        self._clips_s *= kept
        self._costs.forget(passed_s)


class _BatchCosts:
    """What batches of steps take: a line through the sizes and times of past batches, by least squares.

    One batch without steps that takes no time counts as seen. So where all batches are of one size, their time is
    that of their steps, and another size has to show that a part of it is the batch's own.
    """

    def __init__(self) -> None:
        self._batches = self._steps = self._steps_squared = self._took_s = self._steps_times_took_s = 0.0

    def add(self, steps: int, took_s: float) -> None:
        """Add a batch."""
        self._batches += 1
        self._steps += steps
        self._steps_squared += steps * steps
        self._took_s += took_s
        self._steps_times_took_s += steps * took_s

    def forget(self, passed_s: float) -> None:
        """Let earlier batches count less."""
        kept = math.exp(-passed_s / COST_S)
        self._batches *= kept
        self._steps *= kept
        self._steps_squared *= kept
        self._took_s *= kept
        self._steps_times_took_s *= kept

    def estimate(self) -> tuple[float, float]:
        """Return the seconds that a batch takes by itself, and those that each of its steps adds."""
        if self._steps < 1e-9:
            return 0.0, 0.0
        batches = self._batches + 1
        slope = (batches * self._steps_times_took_s - self._steps * self._took_s) / (
            batches * self._steps_squared - self._steps**2
        )
        step_s = min(max(slope, 0.0), self._took_s / self._steps)
        return (self._took_s - step_s * self._steps) / self._batches, step_s


def _whole_frames(seconds: float) -> float:
    """Return a duration, rounded up to frames of 80 ms."""
    return math.ceil(seconds / FRAME_SECONDS - 1e-6) * FRAME_SECONDS
