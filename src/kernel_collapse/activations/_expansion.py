r"""The dual of any activation, by expansion in Hermite polynomials.

With phi(sqrt(q) z) = sum_m a_m(q) h_m(z), h_m orthonormal under the standard normal distribution, and rho the
correlation (Mehler's formula; Daniely, Frostig and Singer, 2016)::

    kappa   = sum_m a_m(q1) a_m(q2) rho^m
    kappa_c = sum_m b_m(q1) b_m(q2) rho^m,         b_m = sqrt(m+1) a_{m+1} / sqrt(q)          of phi'
    kappa_q = 1/2 sum_m d_m(q1) a_m(q2) rho^m,     d_m = sqrt((m+1)(m+2)) a_{m+2} / q         of phi''

so that no derivative of phi is needed (Stein's lemma). The coefficients are integrals over one variable, a matrix
product of phi at the nodes of a rule with the polynomials there; each order is one product of a column and a row.

Where phi or one of its first derivatives jumps, the coefficients fall slowly. The piecewise polynomial P with the same
jumps has a dual K and coefficients S_m in closed form, and with psi = phi - P, which falls faster::

    kappa = K + sum_m ( a_m a_m' - S_m S_m' ) rho^m,   a_m = psi_m + S_m

How far the sum must go is read off the coefficients and the largest correlation there is; that nothing was missed, off
E psi^2 - sum_m psi_m^2, which Parseval's identity has at zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from kernel_collapse import _arrays
from kernel_collapse._input_error import InputError
from kernel_collapse._probed import require_unchanged, values_at_probes
from kernel_collapse._shapes import Bool, Float
from kernel_collapse.activations import _kinks
from kernel_collapse.activations._base import Activation, Array, angle, determinant
from kernel_collapse.activations._hermite import (
    Rule,
    rule_for,
    sum_over_orders,
)
from kernel_collapse.activations._logistic import Mixture
from kernel_collapse.activations._orders import (
    Orders,
    correlation_of,
    extremes,
    orders_for,
    rounded,
    rounded_correlation,
    unseen_by,
)
from kernel_collapse.activations._piecewise import Piecewise

__all__ = ["MAX_ORDERS", "TAIL", "Expanded"]

#: The most orders that are tried.
MAX_ORDERS = 2046
#: A piecewise polynomial takes no more than these.
FEW_ORDERS = 16
#: Where there is another way, it is the shorter one beyond these.
ENOUGH_ORDERS = 1022
#: What may be missing of kappa and kappa_c, relative to their sizes on the diagonal; the second where there are kinks.
TAIL, KINKED_TAIL = 1e-11, 1e-7
#: Below this variance derivatives are those at it: coefficients of order m fall as q^{m/2} and drown in round-off.
LEAST_VARIANCE = 1e-8
#: Samples whose function values are held at once.
CHUNK = 4096


class Series(NamedTuple):
    """Coefficients of a set of variances: psi_m and S_m, orders along the first axis."""

    smooth: Any  # (m, ...)
    kinked: Any | None


class Expanded(Activation):
    """Any elementwise function as an activation; see `kernel_collapse.activations.expand`."""

    seconds_an_entry = 6e-7

    def __init__(
        self,
        function: Callable[[Any], Any],
        name: str,
        *,
        orders: int | None = None,
        tail: float | None = None,
        kinks: Sequence[float] | None = None,
        wide: Mixture | None = None,
        may_change: bool = False,
    ) -> None:
        self.name = name
        self._function = function
        self._orders = orders
        #: Another way to the dual, where the expansion would take too many orders.
        self._wide = wide
        self.most_orders = MAX_ORDERS if wide is None else ENOUGH_ORDERS
        #: Of a function of the user's, whose parameters may change.
        self._values_at_probes = values_at_probes(function) if may_change else None
        self._remember()
        #: P, what is taken out of phi and put back in closed form.
        self._bent = Piecewise(_kinks.find(self._values, kinks))
        self.kinks = tuple(kink.at for kink in self._bent.kinks)
        self.jumps = any(kink.jumps[0] for kink in self._bent.kinks)
        #: A jump of phi or of its slope is one of the dual's derivatives at perfect correlation.
        self.needs_determinant = any(kink.jumps[0] or kink.jumps[1] for kink in self._bent.kinks)
        self.tail = tail if tail is not None else (KINKED_TAIL if self._bent.kinks else TAIL)
        if self._bent.kinks and not self._ends_soon():
            self.accuracy = 0.1 * self.tail

    def _remember(self) -> None:
        self._remembered = lru_cache(maxsize=8)(lambda q, orders: self._integrate(np.frombuffer(q), orders))

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: what is remembered can be computed again."""
        return {name: value for name, value in vars(self).items() if name != "_remembered"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take it."""
        vars(self).update(state)
        self._remember()

    def require_unchanged(self) -> None:
        """Refuse a function that has other values than when it was expanded: a parameter of it was changed."""
        if self._values_at_probes is not None:
            require_unchanged(self._function, self._values_at_probes, self.name)

    @property
    def of_the_user(self) -> bool:
        """Whether nobody but the user knows the function."""
        return self._values_at_probes is not None

    def require_seen(self, q: float) -> None:
        """Refuse a function that a rule of some thousand nodes takes for another one."""
        if not self.of_the_user:
            return
        at = np.array([q])
        share = float(unseen_by(self, at, MAX_ORDERS)[0])
        if share > max(self.tail, KINKED_TAIL):
            raise InputError(
                f"the activation {self.name}",
                f"parts too narrow to be integrated at a variance of {q:.3g}: {share:.1e} of its second moment is "
                "between the nodes",
                "a function that is smooth on the scale of a hundredth, or between its kinks",
                "name the kinks (activations.expand)",
                verb="has",
            )

    def _ends_soon(self) -> bool:
        """Tell whether no more is left of a function with kinks than a polynomial: its moments are exact then."""
        try:
            return orders_for(self, (1.0,), 1.0, self._orders).enough <= FEW_ORDERS
        except ValueError:  # it grows too fast, which is said when a kernel is made
            return False

    def __call__(self, x: Array) -> Array:
        """Return phi(x)."""
        return self._function(x) if _arrays.is_foreign(x) else self._values(np.asarray(x, dtype=float))

    def _values(self, x: Float[np.ndarray, ...]) -> Float[np.ndarray, ...]:
        with np.errstate(all="ignore"):
            return np.asarray(self._function(x), dtype=float)

    def smooth_part(self, x: Float[np.ndarray, ...]) -> Float[np.ndarray, ...]:
        """Return psi(x)."""
        return self._values(x) - self._bent(x) if self._bent.kinks else self._values(x)

    def kappa(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return E[phi(u) phi(v)]."""
        if q1 is q2 and q1 is c and not self._bent.kinks:
            return self._second_moment(q1)
        return self._by_parts(q1, q2, c, det, (0, 0))[0]

    def kappa_c(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return its derivative in c."""
        return self._by_parts(q1, q2, c, det, (1, 1))[0]

    def kappa_q(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> Array:
        """Return its derivative in q1."""
        if self.jumps:
            raise InputError(
                f"the activation {self.name}",
                "a jump, so that its dual has no derivative in a variance",
                "one without",
                "a steep tanh is close to a step",
                verb="has",
            )
        return 0.5 * self._by_parts(q1, q2, c, det, (2, 0))[0]

    def kappa_and_c(self, q1: Array, q2: Array, c: Array, det: Array | None = None) -> tuple[Array, Array]:
        """Return both, from the same coefficients."""
        kappa, kappa_c = self._by_parts(q1, q2, c, det, (0, 0), (1, 1))
        return kappa, kappa_c

    def kappa_and_slopes(
        self, q1: Array, q2: Array, c: Array, det: Array | None = None
    ) -> tuple[Array, Array]:
        """Refuse a function with a jump: its NTK is infinite."""
        if self.jumps:
            raise InputError(
                f"the activation {self.name}",
                "a jump, so that its NTK is infinite",
                "one without, or the kernel 'nngp'",
                verb="has",
            )
        return self.kappa_and_c(q1, q2, c, det)

    # -- the sums

    def _by_parts(
        self, q1: Array, q2: Array, c: Array, det: Array | None, *derivatives: tuple[int, int]
    ) -> list[Array]:
        """Return sum_m a^{(r)}_m(q1) a^{(s)}_m(q2) rho^m for each pair (r, s) of derivatives of phi asked for."""
        foreign = next((value for value in (q1, q2, c) if _arrays.is_foreign(value)), None)
        if foreign is None:
            q1, q2, c = (np.asarray(value, dtype=float) for value in (q1, q2, c))
        else:
            q1, q2, c = (
                v if _arrays.is_foreign(v) else _arrays.like(np.asarray(v), foreign) for v in (q1, q2, c)
            )
        if foreign is not None and self._bent.kinks:
            raise InputError(
                f"the activation {self.name}",
                "kinks, whose dual is computed by NumPy alone",
                "NumPy's arrays",
                "convert them, or take an activation with a closed form",
                verb="has",
            )
        if foreign is None and q1.shape == q2.shape == c.shape and c.ndim == 1 and len(c) > CHUNK:
            parts = []
            for start in range(0, len(c), CHUNK):
                some = slice(start, start + CHUNK)
                of_det = None if det is None else np.asarray(det)[some]
                parts.append(self._by_parts(q1[some], q2[some], c[some], of_det, *derivatives))
            return [np.concatenate(columns) for columns in zip(*parts, strict=True)]
        self.require_unchanged()
        rho = correlation_of(q1, q2, c)
        orders = self._enough(q1, q2, rho)
        if orders is None:
            if foreign is not None:
                return self._other_way(q1, q2, c, det, derivatives)
            return self._two_ways(q1, q2, c, determinant(q1, q2, c) if det is None else det, rho, derivatives)
        found = []
        for r, s in derivatives:
            a, b = self._derivative(q1, orders, r), self._derivative(q2, orders, s)
            # psi psi' + psi S' + S psi' = psi (psi' + S') + S psi'
            pairs = [(a.smooth, b.smooth if b.kinked is None else b.smooth + b.kinked)]
            if a.kinked is not None:
                pairs.append((a.kinked, b.smooth))
            total = sum_over_orders(pairs, rho, orders.enough)
            if self._bent.kinks:
                total = total + self._bent.moment(q1, q2, angle(q1, q2, c, det), r, s)
            found.append(total)
        return found

    def _other_way(
        self, q1: Array, q2: Array, c: Array, det: Array | None, derivatives: tuple[tuple[int, int], ...]
    ) -> list[Array]:
        """Return the moments without an expansion."""
        assert self._wide is not None, "asked for where there is another way"
        kappa, kappa_c, kappa_q = self._wide.moments(q1, q2, c, det)
        return [{(0, 0): kappa, (1, 1): kappa_c, (2, 0): 2.0 * kappa_q}[which] for which in derivatives]

    def _two_ways(
        self,
        q1: Float[np.ndarray, ...],
        q2: Float[np.ndarray, ...],
        c: Float[np.ndarray, ...],
        det: Any,
        rho: Float[np.ndarray, ...],
        derivatives: tuple[tuple[int, int], ...],
    ) -> list[Array]:
        """Return the moments where some variances are too large to expand: those pairs go the other, longer way."""
        limit = max(q1.max(initial=0.0), q2.max(initial=0.0))
        correlation = rounded_correlation(rho)
        while orders_for(self, (rounded(float(limit)),), correlation, self._orders).left > self.tail:
            limit = 0.5 * limit
        shape = np.broadcast_shapes(q1.shape, q2.shape, c.shape)
        large = np.broadcast_to((q1 > limit) | (q2 > limit), shape)
        given = tuple(np.broadcast_to(value, shape) for value in (q1, q2, c, det))
        found = [np.empty(shape) for _ in derivatives]
        u, v, w, d = (value[large] for value in given)
        for total, part in zip(found, self._other_way(u, v, w, d, derivatives), strict=True):
            total[large] = part
        if large.all():
            return found
        if q1.shape[1:] == (1,) and q2.shape[:1] == (1,):  # a block of a Gram matrix remains one
            rows, columns = q1[:, 0] <= limit, q2[0] <= limit
            small: Any = np.ix_(rows, columns)
            parts = self._by_parts(q1[rows], q2[:, columns], given[2][small], given[3][small], *derivatives)
        else:
            small = ~large
            parts = self._by_parts(*(v[small] for v in given), *derivatives)
        for total, part in zip(found, parts, strict=True):
            total[small] = part
        return found

    def _enough(self, q1: Array, q2: Array, rho: Array) -> Orders | None:
        """Return how many orders leave a small enough tail for these moments; None where it takes the other way."""
        if any(_arrays.staged(q) for q in (q1, q2, rho)):
            if self._orders is not None:
                return Orders(self._orders, rule_for(self._orders + 2).orders)
            raise InputError(
                f"the order of the expansion of {self.name}",
                "chosen from values that JAX does not know while it traces",
                "orders= to be given",
                "activations.expand(..., orders=200)",
            )
        variances = np.concatenate([extremes(q) for q in (q1, q2)])
        orders = orders_for(self, tuple(np.unique(variances)), rounded_correlation(rho), self._orders)
        if orders.left > self.tail:
            if self._wide is not None:
                return None
            given = "" if self._orders is None else " (as many as orders= allows)"
            raise InputError(
                f"the Hermite expansion of {self.name}",
                f"{orders.left:.1e} of its mass at a variance of {variances.max():.3g} after {orders.enough} "
                f"orders{given}",
                f"at most {self.tail:.1e}",
                "scale the inputs or weight_variance down, allow more orders or a larger tail "
                "(activations.expand), or name its kinks",
                verb="leaves",
            )
        return orders

    def _derivative(self, q: Array, orders: Orders, r: int) -> Series:
        """Return the coefficients of the r-th derivative of phi."""
        if r == 0:
            return self._series(q, orders)
        xp = _arrays.namespace(q)
        q = xp.maximum(q, LEAST_VARIANCE + 0.0 * q)
        series, scale = self._series(q, orders), q ** (-0.5 * r)
        m = np.arange(series.smooth.shape[0] - r, dtype=float)
        factor: Any = np.sqrt(m + 1.0) if r == 1 else np.sqrt((m + 1.0) * (m + 2.0))
        factor = _arrays.like(factor.reshape((-1,) + (1,) * (series.smooth.ndim - 1)), q)
        kinked = None if series.kinked is None else factor * series.kinked[r:, ...] * scale
        return Series(factor * series.smooth[r:, ...] * scale, kinked)

    def _series(self, q: Array, orders: Orders) -> Series:
        """Return the coefficients of every variance, with two to spare."""
        if not _arrays.is_foreign(q):
            series, _, _ = self.coefficients(q.ravel(), orders.enough + 2, orders.size)
            shape = (orders.enough + 2, *q.shape)
            kinked = None if series.kinked is None else series.kinked.reshape(shape)
            return Series(series.smooth.reshape(shape), kinked)
        xp = _arrays.namespace(q)
        rule = rule_for(orders.size)
        above, below = self._both_sides(q, rule)
        parts = [
            side @ _arrays.like(h, q)
            for side, h in zip((above + below, above - below), rule.hermite, strict=True)
        ]
        smooth = xp.reshape(xp.stack(parts, axis=2), (parts[0].shape[0], -1))[:, : orders.enough + 2]
        return Series(xp.reshape(xp.permute_dims(smooth, (1, 0)), (orders.enough + 2, *q.shape)), None)

    def _both_sides(self, q: Array, rule: Rule) -> tuple[Array, Array]:
        """Return phi at the nodes and at their mirror images, a row a variance, of arrays of another library."""
        xp = _arrays.namespace(q)
        points = _arrays.sqrt(xp, xp.reshape(q, (-1, 1))) * _arrays.like(rule.nodes, q)[None, :]
        return self._function(points), self._function(-points)

    def coefficients(
        self, q: Float[np.ndarray, " k"], orders: int, size: int
    ) -> tuple[Series, Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
        """Return psi_m, S_m (orders, k), E psi^2 and E phi^2, by the rule of that size.

        They are remembered, for the rows of a tile are those of the tiles beside it.
        """
        series, moment, whole = self._remembered(q.tobytes(), size)
        kinked = None if series.kinked is None else series.kinked[:orders]
        return Series(series.smooth[:orders], kinked), moment, whole

    def _integrate(
        self, q: Float[np.ndarray, " k"], orders: int
    ) -> tuple[Series, Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
        rule = rule_for(orders)
        smooth, moment, whole = np.empty((orders, len(q))), np.empty(len(q)), np.empty(len(q))
        for start in range(0, len(q), CHUNK):
            part = slice(start, start + CHUNK)
            above, below, squares = self._squares(q[part], rule)
            whole[part] = squares.sum(axis=1)
            with np.errstate(invalid="ignore"):
                largest = np.maximum(np.abs(above).max(axis=1), np.abs(below).max(axis=1))
            if self._bent.kinks:
                points = np.sqrt(q[part, None]) * rule.nodes
                above, below = above - self._bent(points), below - self._bent(-points)
                squares = (above * above + below * below) * rule.weights
            # P grows no faster than a power, and has its own dual; psi may be no more than the round-off of the two.
            ends = np.maximum(np.abs(above[:, -1]), np.abs(below[:, -1])) > 1e-6 * largest
            self._check_growth(squares, q[part], ends)
            moment[part] = squares.sum(axis=1)
            for parity, side in enumerate((above + below, above - below)):
                smooth[parity::2, part] = (side @ rule.hermite[parity]).T
        # What is round-off would cost a pass over all entries each.
        smooth[np.abs(smooth) < 1e-16 * np.sqrt(moment)] = 0.0
        kinked = self._bent.series(q, orders) if self._bent.kinks else None
        return Series(smooth, kinked), moment, whole

    def _squares(
        self, q: Float[np.ndarray, " k"], rule: Rule
    ) -> tuple[Float[np.ndarray, "k l"], Float[np.ndarray, "k l"], Float[np.ndarray, "k l"]]:
        """Return phi at the nodes and at their mirror images, and the terms of E phi^2."""
        points = np.sqrt(q[:, None]) * rule.nodes
        above, below = self._values(points), self._values(-points)
        with np.errstate(over="ignore", invalid="ignore"):
            squares = (above * above + below * below) * rule.weights
        return above, below, squares

    def _check_growth(
        self, squares: Float[np.ndarray, "k l"], q: Float[np.ndarray, " k"], ends: Bool[np.ndarray, " k"]
    ) -> None:
        """Refuse what is not finite, or does not vanish against the density at the ends of the rule."""
        finite = np.isfinite(squares).all(axis=1)
        with np.errstate(invalid="ignore"):
            edge = ends & (squares[:, -1] > 1e-12 * squares.sum(axis=1))
        bad = ~finite | edge
        if bad.any():
            raise InputError(
                f"the activation {self.name}",
                f"not finite or grows too fast for a Gaussian expectation at a variance of {q[bad].max():.3g}",
                "E[phi(u)^2] to be finite",
                "scale the inputs down, or take one that grows no faster than exp(|x|)",
            )

    def _second_moment(self, q: Array) -> Array:
        """Return E[phi(u)^2]: on the diagonal no expansion is needed, but a rule fine enough."""
        self.require_unchanged()
        if _arrays.is_foreign(q):
            xp = _arrays.namespace(q)
            orders = self._enough(q, q, xp.ones_like(q))
            if orders is None:
                return self._by_parts(q, q, q, xp.zeros_like(q), (0, 0))[0]
            rule = rule_for(orders.size)
            above, below = self._both_sides(q, rule)
            return xp.reshape((above * above + below * below) @ _arrays.like(rule.weights, q), q.shape)
        q = np.asarray(q, dtype=float)
        orders = self._enough(q, q, np.ones(1))
        if orders is None:
            return self._by_parts(q, q, q, np.zeros_like(q), (0, 0))[0]
        rule = rule_for(orders.size)
        flat = q.ravel()
        found = [self._squares(flat[i : i + CHUNK], rule)[2].sum(axis=1) for i in range(0, len(flat), CHUNK)]
        return np.concatenate(found).reshape(q.shape)
