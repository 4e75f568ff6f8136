"""The free energy of the mean field on weighted particles of every layer; the mathematics is in `mean_field`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import logsumexp

from kernel_collapse._linalg import Cholesky, mirror, product, symmetric
from kernel_collapse._shapes import Float
from kernel_collapse.activations import Activation
from kernel_collapse.networks._particles import Gaussian, Particles, forms, log_gaussian
from kernel_collapse.networks._roots import Closed, Root, kappa_of, root_of

__all__ = ["Ensemble", "Potential", "Problem", "State", "relative"]


def relative(part: Float[np.ndarray, "n n"], whole: Float[np.ndarray, "n n"]) -> float:
    """Return the ratio of two Frobenius norms; nothing is nothing of whatever there is."""
    sizes = float(np.linalg.norm(part)), float(np.linalg.norm(whole))
    return sizes[0] / sizes[1] if sizes[1] else np.nan if np.isnan(sizes[0]) else np.inf if sizes[0] else 0.0


class Potential(NamedTuple):
    """(1/N) [ 1/2 tr Y'T + (k/2) logdet M ] and twice its derivative in the gram, (sigma_a^2 / N) A."""

    value: float
    slope: Float[np.ndarray, "n n"]


@dataclass(frozen=True)
class Problem:
    """Inputs z = sigma_w X / sqrt(d), targets and hyper-parameters; `closed` is the activation in closed form."""

    z: Float[np.ndarray, "n r"]
    targets: Float[np.ndarray, "n k"]
    phi: Callable[..., jax.Array]
    widths: tuple[float, ...]
    readout_variance: float
    noise_variance: float
    weight_variance: float = 1.0  # of the layers after the first; that of the first is in z
    closed: Activation | None = None

    @property
    def depth(self) -> int:
        return len(self.widths)

    @property
    def shares(self) -> tuple[float, ...]:
        """Widths of the layers, each as a share of the last: F is counted in units of the last width."""
        return tuple(width / self.widths[-1] for width in self.widths)

    def features(self, h: Float[np.ndarray, "p n"]) -> Float[np.ndarray, "p n"]:
        return np.asarray(self.phi(jnp.asarray(h)))

    def features_and_slopes(
        self, h: Float[np.ndarray, "p n"]
    ) -> tuple[Float[np.ndarray, "p n"], Float[np.ndarray, "p n"]]:
        """Return phi(h) and phi'(h)."""
        return tuple(map(np.asarray, self._with_slopes(jnp.asarray(h))))  # type: ignore[return-value]

    @cached_property
    def _with_slopes(self) -> Callable[[Any], Any]:
        return jax.jit(lambda h: jax.jvp(self.phi, (h,), (jnp.ones_like(h),)))

    def potential(self, gram: Float[np.ndarray, "n n"]) -> Potential | None:
        """Return None where M is not positive definite in float64."""
        if not np.isfinite(gram).all():
            return None
        n, k = self.targets.shape
        factor = Cholesky(self.readout_variance * gram + self.noise_variance * np.eye(n))
        if not factor.ok:
            return None
        dual = factor.solve(self.targets)
        value = 0.5 * float(np.einsum("ij,ij->", self.targets, dual)) + k * float(np.log(factor.pivots).sum())
        a = k * mirror(factor.upper_inverse()) - dual @ dual.T
        return Potential(value / self.widths[-1], self.readout_variance / self.widths[-1] * a)


@dataclass(frozen=True)
class State:
    """Weights of the particles of every layer with all that follows from them."""

    log_weights: tuple[Float[np.ndarray, " p"], ...]
    weights: tuple[Float[np.ndarray, " p"], ...]
    grams: tuple[Float[np.ndarray, "n n"], ...]
    roots: tuple[Root | None, ...]  # of the kernel below each layer; None of the first
    slopes: tuple[Float[np.ndarray, "n n"], ...]  # P^ of each layer
    directions: tuple[Float[np.ndarray, " p"], ...]
    shares: tuple[float, ...]
    free_energy: float
    iterations: int = 0

    @property
    def slope(self) -> float:
        """Standard deviation of what is left to go, in logarithms of the densities."""
        parts = zip(self.shares, self.weights, self.directions, strict=True)
        return float(np.sqrt(sum(share * np.einsum("i,i,i->", w, d, d) for share, w, d in parts)))

    @property
    def effective(self) -> tuple[float, ...]:
        """Effective number of particles of each layer."""
        return tuple(float(1.0 / np.einsum("i,i->", w, w)) for w in self.weights)

    @property
    def ess(self) -> float:
        return min(self.effective)

    @cached_property
    def root(self) -> Float[np.ndarray, " q"]:
        """Roots of the weights of all particles, in the metric in which a direction is that of steepest descent."""
        parts = zip(self.shares, self.weights, strict=True)
        return np.concatenate([np.sqrt(share * w) for share, w in parts])

    @cached_property
    def direction(self) -> Float[np.ndarray, " q"]:
        """The directions of all layers in one."""
        return np.concatenate(self.directions)

    @cached_property
    def end(self) -> Float[np.ndarray, " q"]:
        """Where a whole step along the direction leads to."""
        return np.concatenate([w + d for w, d in zip(self.log_weights, self.directions, strict=True)])


class Ensemble:
    """F as a function of the weights of given particles.

    What the particles say of a Gaussian is corrected to what is known of it in closed form, and what they say of p by
    as much. This takes away most of the error of p while it is close to the Gaussian, and all where the two are equal.
    Above the first layer the kernel of the Gaussian changes with that of the layer below, and so does what corrects it.
    """

    def __init__(
        self, problem: Problem, particles: Sequence[Particles], known: Sequence[Gaussian | None]
    ) -> None:
        self.problem = problem
        self.layers = tuple(
            _Layer(problem, i, p, k) for i, (p, k) in enumerate(zip(particles, known, strict=True))
        )

    def part(self, i: int) -> Ensemble:
        """Return the ensemble of one population."""
        return Ensemble(
            self.problem,
            [layer.particles.part(i) for layer in self.layers],
            [layer.known for layer in self.layers],
        )

    def gaussian(self) -> State | None:
        """Return the weights of the Gaussians."""
        return self.state([layer.log_gaussian for layer in self.layers])

    def split(self, values: Float[np.ndarray, " q"]) -> list[Float[np.ndarray, " p"]]:
        """Return layer by layer what is of all particles."""
        sizes = [len(layer.particles.u) for layer in self.layers]
        return np.split(values, np.cumsum(sizes)[:-1])

    def state(self, log_weights: Sequence[Float[np.ndarray, " p"]]) -> State | None:
        """Return None where there is no such kernel in float64."""
        problem = self.problem
        log_weights = [w - logsumexp(w) for w in log_weights]
        weights = [np.exp(w) for w in log_weights]
        seen: list[_Seen] = []
        grams: list[Float[np.ndarray, "n n"]] = []
        for layer, w in zip(self.layers, weights, strict=True):
            root = None
            if grams:
                if not np.isfinite(grams[-1]).all():
                    return None
                root = root_of(problem.weight_variance * grams[-1])
            seen.append(layer.look(root))
            grams.append(layer.gram(w, seen[-1]))
        potential = problem.potential(grams[-1])
        if potential is None:
            return None
        slope, slopes, directions = potential.slope, [], []
        for i in reversed(range(len(grams))):
            layer, share = self.layers[i], problem.shares[i]
            pull, cotangents = layer.pull(slope, weights[i], seen[i])
            direction = layer.log_prior - 0.5 / share * pull - log_weights[i]
            direction -= np.einsum("i,i->", weights[i], direction)
            slopes.append(slope / share)
            directions.append(direction)
            if cotangents is not None:
                root = seen[i].root
                assert root is not None, "each layer but the first has one below it"
                slope = 2.0 * problem.weight_variance * root.back(cotangents)
        divergences = [
            share * layer.divergence(w)
            for share, layer, w in zip(problem.shares, self.layers, log_weights, strict=True)
        ]
        return State(
            log_weights=tuple(log_weights),
            weights=tuple(weights),
            grams=tuple(grams),
            roots=tuple(s.root for s in seen),
            slopes=tuple(reversed(slopes)),
            directions=tuple(reversed(directions)),
            shares=problem.shares,
            free_energy=sum(divergences[1:], divergences[0]) + potential.value,
        )

    def led_to(self, state: State) -> list[Float[np.ndarray, "n n"]]:
        """Return the kernels that those of a state lead to, layer by layer."""
        found = []
        for i, layer in enumerate(self.layers):
            after = state.log_weights[i] + state.directions[i]
            after = np.exp(after - logsumexp(after))
            found.append(layer.gram(after, layer.look(state.roots[i])))
        return found

    def residual(self, state: State) -> float:
        """Return how far the kernels are from those that they lead to, relative, of the worst layer."""
        pairs = zip(self.led_to(state), state.grams, strict=True)
        return max(relative(after - gram, gram) for after, gram in pairs)

    def exact(self) -> Ensemble:
        """Return it with the kernel that the Gaussian of the first layer has, not the one that was solved for."""
        first, *rest = self.layers
        known = first.known
        if known is not None and self.problem.closed is not None:
            known = replace(known, gram=kappa_of(self.problem.closed, self.problem.z, known.covariance))
        return Ensemble(
            self.problem,
            [layer.particles for layer in self.layers],
            [known, *(layer.known for layer in rest)],
        )

    def holds(self, own: State, share: float, state: State) -> bool:
        """Whether a solution found elsewhere leaves that share of the effective particles of a state, in each layer."""
        for i, layer in enumerate(self.layers):
            features = layer.look(own.roots[i]).phi
            log_weights = layer.log_prior - 0.5 * forms(own.slopes[i], features)
            left = float(np.exp(2 * logsumexp(log_weights) - logsumexp(2 * log_weights)))
            if left < share * state.effective[i]:
                return False
        return True


class _Seen(NamedTuple):
    """The particles of a layer above a kernel."""

    root: Root | None
    phi: Float[np.ndarray, "p n"]
    slopes: Float[np.ndarray, "p n"] | None  # phi'
    closed: Closed | None  # the kernel of the Gaussian, where it is known


class _Layer:
    """The particles of one layer; F as far as it is about them."""

    def __init__(self, problem: Problem, index: int, particles: Particles, known: Gaussian | None) -> None:
        self.particles, self.known = particles, known
        self._problem = problem
        # Logarithm of the prior over the density of the particles, each of which stands for 1/P of that.
        self.log_prior = log_gaussian(particles.u) - particles.log_density - np.log(len(particles.u))
        log_weights = particles.log_gaussian - particles.log_density
        self.log_gaussian = log_weights - logsumexp(log_weights)
        self._phi = problem.features(product(particles.u, problem.z.T)) if index == 0 else None
        self._gram: Any = 0.0
        self._divergence: float = 0.0
        self._second_moment: Any = 0.0
        if known is not None:
            weights = np.exp(self.log_gaussian)
            self._gaussian_weights = weights
            if index == 0:
                self._gram = known.gram - self.gram(weights, self.look(None))
            self._divergence = known.divergence - self.divergence(self.log_gaussian)
            self._second_moment = known.covariance - self.second_moment(weights)

    def look(self, root: Root | None) -> _Seen:
        """Return the features of the particles above a kernel of that root; None is that of the inputs."""
        if root is None:
            assert self._phi is not None, "the first layer alone has the inputs below it"
            return _Seen(None, self._phi, None, None)
        phi, slopes = self._problem.features_and_slopes(product(self.particles.u, root.matrix))
        closed = None
        if self.known is not None and self._problem.closed is not None:
            closed = Closed.of(self._problem.closed, root, self.known.covariance)
        return _Seen(root, phi, slopes, closed)

    def _counted(self, weights: Float[np.ndarray, " p"], seen: _Seen) -> Float[np.ndarray, " p"]:
        """Return the weights less those of the Gaussian that is known."""
        return weights if seen.closed is None else weights - self._gaussian_weights

    def gram(self, weights: Float[np.ndarray, " p"], seen: _Seen) -> Float[np.ndarray, "n n"]:
        """Return E[phi phi'], symmetric to the last bit."""
        counted = self._counted(weights, seen)
        known = self._gram if seen.closed is None else seen.closed.gram
        return symmetric(product(seen.phi.T, counted[:, None] * seen.phi) + known)

    def pull(
        self, slope: Float[np.ndarray, "n n"], weights: Float[np.ndarray, " p"], seen: _Seen
    ) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, "n n"] | None]:
        """Return phi' slope phi of every particle, and half the gradient of <slope, gram> in the root below."""
        bent = product(seen.phi, slope)
        pull = np.einsum("ij,ij->i", seen.phi, bent)
        if seen.slopes is None:
            return pull, None
        bent *= seen.slopes
        bent *= self._counted(weights, seen)[:, None]
        below = product(bent.T, self.particles.u)
        if seen.closed is not None:
            below += 0.5 * seen.closed.back(slope)
        return pull, below

    def divergence(self, log_weights: Float[np.ndarray, " p"]) -> float:
        """Return the Kullback-Leibler divergence from the prior."""
        gap = np.einsum("i,i->", np.exp(log_weights), log_weights - self.log_prior)
        return float(gap) + self._divergence

    def second_moment(self, weights: Float[np.ndarray, " p"]) -> Float[np.ndarray, "r r"]:
        """Return E[u u']."""
        u = self.particles.u
        return symmetric(product(u.T, weights[:, None] * u) + self._second_moment)
