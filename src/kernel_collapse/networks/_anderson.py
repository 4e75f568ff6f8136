"""The descent of the free energy on weighted particles, by Anderson's extrapolation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kernel_collapse.networks._ensemble import Ensemble, State

__all__ = ["descend"]

#: States from which a step is extrapolated.
MEMORY = 8


def descend(ensemble: Ensemble, now: State, tolerance: float, limit: int, least_ess: float) -> State:
    """Descend until little is left to go, the weights become too uneven, or no step goes down.

    Anderson's extrapolation from the last states is taken where it goes down, else a step along the direction.
    """
    step, iterations = 1.0, 0
    past = [now]
    while now.slope > tolerance and iterations < limit and now.ess >= least_ess:
        new = _extrapolated(ensemble, past) if len(past) > 1 else None
        if new is None or new.ess < 0.5 * least_ess or not _is_lower(new, now, 0.0):
            past = [now]
            new = _moved(ensemble, now, step)
            while new is None or new.ess < 0.5 * least_ess or not _is_lower(new, now, step):
                step *= 0.5
                if step < 1e-7:
                    return replace(now, iterations=iterations)
                new = _moved(ensemble, now, step)
            step = min(1.0, 2.0 * step)
        now, iterations = new, iterations + 1
        past = [*past[-MEMORY:], now]
    return replace(now, iterations=iterations)


def _moved(ensemble: Ensemble, now: State, step: float) -> State | None:
    """Return the state after a step along the direction."""
    parts = zip(now.log_weights, now.directions, strict=True)
    return ensemble.state([log_weights + step * direction for log_weights, direction in parts])


def _extrapolated(ensemble: Ensemble, past: list[State]) -> State | None:
    """Return the combination of where all of them lead to whose directions, combined likewise, are smallest."""
    now = past[-1]
    changes = np.array([(state.direction - now.direction) * now.root for state in past[:-1]])
    products = np.einsum("ip,jp->ij", changes, changes)
    right = np.einsum("ip,p->i", changes, now.direction * now.root)
    scale = np.sqrt(np.diag(products))
    if not scale.all():
        return None
    part = -np.linalg.lstsq(products / np.outer(scale, scale), right / scale, rcond=1e-12)[0] / scale
    ends = np.array([state.end for state in past])
    return ensemble.state(ensemble.split(np.einsum("i,ip->p", np.append(part, 1.0 - part.sum()), ends)))


def _is_lower(new: State, now: State, step: float) -> bool:
    """Whether a step went down far enough; where round-off hides it, by what is left to go."""
    change, round_off = new.free_energy - now.free_energy, 1e-10 * abs(now.free_energy)
    return change <= -1e-4 * step * now.slope**2 or (abs(change) <= round_off and new.slope < now.slope)
