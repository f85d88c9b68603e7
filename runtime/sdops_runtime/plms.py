"""The PLMS sampler as plain numbers: which noise levels, and how to weigh what the UNet said.

PLMS is the linear multi-step half of PNDM (https://arxiv.org/abs/2202.09778,
formulas 9 and 12), the sampler of Stable Diffusion v1. Working out its
coefficients before the loop keeps the loop free of look-ups that make a GPU
wait. Works on anything that adds and multiplies; imports nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Step:
    """One UNet call: at ``timestep``, then ``sample * keep - combined * remove / divide``.

    Two numbers for one factor, because the library rounds after each of them.
    """

    timestep: int
    keep: float
    remove: float
    divide: float


@dataclass(frozen=True)
class Schedule:
    """The steps of one picture, and how much of the input and of the noise it starts from.

    start = signal * latents + noise * drawn.
    """

    steps: tuple[Step, ...]
    signal: float
    noise: float


def schedule(alphas: Sequence[Any], final_alpha: Any, offset: int, steps: int, first: int) -> Schedule:
    """Returns the schedule of ``steps`` denoising steps, entered at timestep number ``first``.

    alphas: cumulative products of the noise schedule, one per trained noise
    level (1,000). final_alpha: the one below the lowest level. Give both as
    float32 scalars: the library works in float32, where 1 - alpha loses four
    digits at the low levels, and only the same loss gives the same picture.
    offset: added to every level (1 for Stable Diffusion). first: index into
    the ``steps + 1`` timesteps, as ``dialect.first_timestep`` gives it.
    """
    ratio = len(alphas) // steps
    levels = [place * ratio + offset for place in range(steps)]
    # The second highest level comes twice: PLMS starts with one step of a second-order method.
    timesteps = ([levels[-1], levels[-2], *levels[-2::-1]])[first:]
    found: list[Step] = []
    for number, timestep in enumerate(timesteps):
        # The second call repeats the first step with a better estimate, wherever the list was entered.
        here, below = (timestep + ratio, timestep) if number == 1 else (timestep, timestep - ratio)
        alpha = alphas[here]
        alpha_below = alphas[below] if below >= 0 else final_alpha
        divide = alpha * (1 - alpha_below) ** 0.5 + (alpha * (1 - alpha) * alpha_below) ** 0.5
        keep, remove = (alpha_below / alpha) ** 0.5, alpha_below - alpha
        found.append(Step(timestep, float(keep), float(remove), float(divide)))
    start = alphas[timesteps[0]]
    return Schedule(tuple(found), float(start**0.5), float((1 - start) ** 0.5))


class Plms:
    """The state of one run through a schedule: at most four earlier UNet outputs and the start."""

    def __init__(self) -> None:
        self._number = 0
        self._outputs: list[Any] = []
        self._start: Any = None

    def advance(self, step: Step, output: Any, sample: Any) -> Any:
        """Returns the sample one step less noisy, given the UNet's ``output`` for ``sample``."""
        past = self._outputs
        if self._number == 0:
            self._start = sample
        if self._number == 1:
            combined, sample, self._start = (output + past[-1]) / 2, self._start, None
        else:
            past.append(output)
            del past[:-4]
            if len(past) == 1:
                combined = output
            elif len(past) == 2:
                combined = (3 * past[-1] - past[-2]) / 2
            elif len(past) == 3:
                combined = (23 * past[-1] - 16 * past[-2] + 5 * past[-3]) / 12
            else:
                combined = (1 / 24) * (55 * past[-1] - 59 * past[-2] + 37 * past[-3] - 9 * past[-4])
        self._number += 1
        return step.keep * sample - step.remove * combined / step.divide
