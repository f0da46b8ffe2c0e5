"""The model's log-density and gradient as one compiled function, cached on disk: no compilation at run time.

It repeats, term by term, the PyMC model of `model.build_model` on the same unconstrained parameters

    shares (logit) | positives (log) | log effects | log sigma | [log week_sigma | log geo_spread | geo offsets]

up to a constant; tests hold density and gradient equal. All data lie in one array of floats with one of integers
that says where what stands: two arguments are cheap to pass, sixty are not.
"""

from __future__ import annotations

import numba
import numpy as np

from liftos_pipelines.modules.causal.engine.kernel_forms import FAST, carry, curve, margin
from liftos_pipelines.modules.causal.engine.packing import HEADER
from liftos_pipelines.modules.causal.engine.transforms import FloatArray

FLOOR = 1e-300


@numba.njit(cache=True, error_model="numpy", fastmath=FAST)
def _convolve(x, weights, out):  # type: ignore[no-untyped-def]
    geos, weeks = x.shape
    for g in range(geos):
        for t in range(weeks):
            out[g, t] = weights[0] * x[g, t]
        for lag in range(1, min(weights.size, weeks)):
            w = weights[lag]
            for t in range(lag, weeks):
                out[g, t] += w * x[g, t - lag]


@numba.njit(cache=True, error_model="numpy", fastmath=FAST)
def _correlate(x, slope, out):  # type: ignore[no-untyped-def]
    """out[lag] = sum of slope[t] x[t - lag]: the gradient by the weights."""
    geos, weeks = x.shape
    for lag in range(out.size):
        total = 0.0
        for g in range(geos):
            for t in range(lag, weeks):
                total += slope[g, t] * x[g, t - lag]
        out[lag] = total


@numba.njit(cache=True, error_model="numpy", fastmath=FAST)
def _pull_back(slope, weights, out):  # type: ignore[no-untyped-def]
    """out[t] = sum of weights[lag] slope[t + lag]: the gradient by what was carried."""
    geos, weeks = slope.shape
    for g in range(geos):
        for t in range(weeks):
            out[g, t] = weights[0] * slope[g, t]
        for lag in range(1, min(weights.size, weeks)):
            w = weights[lag]
            for t in range(weeks - lag):
                out[g, t] += w * slope[g, t + lag]


@numba.njit(cache=True, error_model="numpy", fastmath=FAST)
def _block(u, d2, n, r, variance, slope):  # type: ignore[no-untyped-def]
    """Log-density of one block, the gradient by its residuals, and by the logarithm of its variance."""
    rows, terms = u.shape
    square = 0.0
    for i in range(rows):
        square += r[i] * r[i]
    p = np.zeros(terms)
    for i in range(rows):
        ri = r[i]
        for j in range(terms):
            p[j] += u[i, j] * ri
    outside, inside, logs, by_variance = square, 0.0, 0.0, 0.0
    for j in range(terms):
        wide = d2[j] + variance
        outside -= p[j] * p[j]
        inside += p[j] * p[j] / wide
        logs += np.log(wide)
        by_variance += p[j] * p[j] / (wide * wide) - 1.0 / wide
        p[j] *= 1.0 / variance - 1.0 / wide
    by_variance += outside / (variance * variance) - (n - terms) / variance
    for i in range(rows):
        total = 0.0
        for j in range(terms):
            total += u[i, j] * p[j]
        slope[i] = total - r[i] / variance
    value = -0.5 * (outside / variance + inside + logs + (n - terms) * np.log(variance))
    return value, 0.5 * by_variance * variance


@numba.njit(cache=True, error_model="numpy", fastmath=FAST)
def _lift(  # type: ignore[no-untyped-def]
    j, code, after, first, second, weights, rows, lags, geo, weight, with_x, without_x, with_m, without_m, effect_g,
    out_w, out_e,
):  # fmt: skip
    """What test j added per unit of coefficient, with derivatives: by weights (out_w), parameters, geo effects."""
    base = j * rows
    total, d1, d2 = 0.0, 0.0, 0.0
    f, fx, f1, f2 = np.empty(lags), np.empty(lags), np.empty(lags), np.empty(lags)
    one = np.empty(1)
    for lag in range(lags):
        out_w[lag] = 0.0
    out_e[:] = 0.0
    for row in range(rows):
        scale = weight[base + row]
        if scale == 0.0:
            continue
        g = geo[base + row]
        start = (base + row) * lags
        gained = 0.0
        for sign in (1.0, -1.0):
            x = with_x if sign > 0 else without_x
            m = with_m if sign > 0 else without_m
            if after:
                curve(code, x[start : start + lags], first, second, f, fx, f1, f2)
                for lag in range(lags):
                    gained += sign * weights[lag] * m[start + lag] * f[lag]
                    out_w[lag] += sign * scale * effect_g[g] * m[start + lag] * f[lag]
                    d1 += sign * scale * effect_g[g] * weights[lag] * m[start + lag] * f1[lag]
                    d2 += sign * scale * effect_g[g] * weights[lag] * m[start + lag] * f2[lag]
            else:
                carried = 0.0
                for lag in range(lags):
                    carried += weights[lag] * x[start + lag]
                one[0] = carried
                curve(code, one, first, second, f[:1], fx[:1], f1[:1], f2[:1])
                gained += sign * f[0]
                d1 += sign * scale * effect_g[g] * f1[0]
                d2 += sign * scale * effect_g[g] * f2[0]
                for lag in range(lags):
                    out_w[lag] += sign * scale * effect_g[g] * fx[0] * x[start + lag]
        total += scale * effect_g[g] * gained
        out_e[g] += scale * gained
    return total, d1, d2


@numba.njit(
    "float64(float64[::1], float64[::1], float64[::1], int64[::1])", cache=True, error_model="numpy", nogil=True
)
def logp_grad(z: FloatArray, grad: FloatArray, pool: FloatArray, layout: FloatArray) -> float:
    """Log-density at unconstrained z up to a constant; writes its gradient.

    `pool` and `layout` come from `packing.pack`.
    """
    channels, geos, weeks, lags = layout[0], layout[1], layout[2], layout[3]
    n_share, n_positive, tests, rows = layout[4], layout[5], layout[6], layout[7]
    q_mean, q_within, week_shocks = layout[8], layout[9], layout[10]
    at = HEADER
    carry_code = layout[at : at + channels]
    curve_code = layout[at + channels : at + 2 * channels]
    after = layout[at + 2 * channels : at + 3 * channels]
    prior_code = layout[at + 3 * channels : at + 4 * channels]
    # Where a channel's four form parameters stand in z; -1: fixed, and then `fixed` holds the value.
    place = layout[at + 4 * channels : at + 8 * channels].reshape(channels, 4)
    at += 8 * channels
    test_channel = layout[at : at + tests]
    test_geo = layout[at + tests : at + tests + tests * rows]

    cells = geos * weeks
    whole = channels * cells
    o = 0
    x = pool[o : o + whole].reshape(channels, geos, weeks)
    o += whole
    multiplier = pool[o : o + whole].reshape(channels, geos, weeks)
    o += whole
    value = pool[o : o + whole].reshape(channels, geos, weeks)
    o += whole
    y = pool[o : o + cells].reshape(geos, weeks)
    o += cells
    mask = pool[o : o + weeks]
    o += weeks
    u_mean = pool[o : o + weeks * q_mean].reshape(weeks, q_mean)
    o += weeks * q_mean
    d2_mean = pool[o : o + q_mean]
    o += q_mean
    u_within = pool[o : o + cells * q_within].reshape(cells, q_within)
    o += cells * q_within
    d2_within = pool[o : o + q_within]
    o += q_within
    fixed = pool[o : o + channels * 4].reshape(channels, 4)
    o += channels * 4
    unit, mu, sd = (
        pool[o : o + channels],
        pool[o + channels : o + 2 * channels],
        pool[o + 2 * channels : o + 3 * channels],
    )
    o += 3 * channels
    share_a, share_b = pool[o : o + n_share], pool[o + n_share : o + 2 * n_share]
    o += 2 * n_share
    positive_a, positive_b = pool[o : o + n_positive], pool[o + n_positive : o + 2 * n_positive]
    o += 2 * n_positive
    noise_sd, geo_sd, week_sd, n_mean, n_within = pool[o], pool[o + 1], pool[o + 2], pool[o + 3], pool[o + 4]
    o += 5
    test_effect, test_error = pool[o : o + tests], pool[o + tests : o + 2 * tests]
    o += 2 * tests
    test_weight = pool[o : o + tests * rows]
    o += tests * rows
    window = tests * rows * lags
    with_x, without_x = pool[o : o + window], pool[o + window : o + 2 * window]
    with_m, without_m = pool[o + 2 * window : o + 3 * window], pool[o + 3 * window : o + 4 * window]

    logp = 0.0
    grad[:] = 0.0
    form = np.empty((channels, 4))
    d_form = np.zeros((channels, 4))
    for c in range(channels):
        for k in range(4):
            p = place[c, k]
            if p < 0:
                form[c, k] = fixed[c, k]
            elif p < n_share:
                form[c, k] = 1.0 / (1.0 + np.exp(-z[p]))
            else:
                form[c, k] = np.exp(min(z[p], 300.0))
    for i in range(n_share):
        # log p and log(1 - p) by softplus: exact far out in both tails
        soft = np.log1p(np.exp(-abs(z[i])))
        logp += share_a[i] * (min(z[i], 0.0) - soft) + share_b[i] * (-max(z[i], 0.0) - soft)
        share = 1.0 / (1.0 + np.exp(-z[i]))
        grad[i] = share_a[i] * (1.0 - share) - share_b[i] * share
    for i in range(n_positive):
        gap = (z[n_share + i] - positive_a[i]) / positive_b[i]
        logp -= 0.5 * gap * gap
        grad[n_share + i] = -gap / positive_b[i]
    at_effect = n_share + n_positive
    for c in range(channels):
        gap = (z[at_effect + c] - mu[c]) / sd[c]
        logp -= 0.5 * gap * gap
        grad[at_effect + c] = -gap / sd[c]
    at_sigma = at_effect + channels
    sigma = np.exp(min(z[at_sigma], 100.0))
    logp += z[at_sigma] - 0.5 * (sigma / noise_sd) ** 2
    grad[at_sigma] = 1.0 - (sigma / noise_sd) ** 2
    at_week = at_sigma + 1
    week_sigma = 0.0
    if week_shocks:
        week_sigma = np.exp(min(z[at_week], 100.0))
        logp += z[at_week] - 0.5 * (week_sigma / week_sd) ** 2
        grad[at_week] = 1.0 - (week_sigma / week_sd) ** 2
    at_spread = at_week + week_shocks
    at_offset = at_spread + channels
    geo_effect = np.ones((channels, geos))
    if geos > 1:
        for c in range(channels):
            spread = np.exp(min(z[at_spread + c], 100.0))
            logp += z[at_spread + c] - 0.5 * (spread / geo_sd) ** 2
            grad[at_spread + c] = 1.0 - (spread / geo_sd) ** 2
            for g in range(geos):
                offset = z[at_offset + c * geos + g]
                logp -= 0.5 * offset * offset
                grad[at_offset + c * geos + g] = -offset
                geo_effect[c, g] = np.exp(max(min(spread * offset, 50.0), -50.0))

    # Forward: saturated carry-over of each channel, its worth, its coefficient, the sum.
    weights, w1, w2 = np.empty((channels, lags)), np.empty((channels, lags)), np.empty((channels, lags))
    s = np.empty((channels, geos, weeks))
    inner = np.empty((channels, geos, weeks))
    fx, f1, f2 = np.empty((channels, geos, weeks)), np.empty((channels, geos, weeks)), np.empty((channels, geos, weeks))
    coefficient, worth = np.empty(channels), np.empty(channels)
    media = np.zeros((geos, weeks))
    for c in range(channels):
        carry(carry_code[c], form[c, 0], form[c, 1], lags, weights[c], w1[c], w2[c])
        if after[c]:
            curve(curve_code[c], x[c].ravel(), form[c, 2], form[c, 3], inner[c].ravel(), fx[c].ravel(), f1[c].ravel(),
                   f2[c].ravel())  # fmt: skip
            for g in range(geos):
                for t in range(weeks):
                    inner[c, g, t] *= multiplier[c, g, t]
            _convolve(inner[c], weights[c], s[c])
        else:
            _convolve(x[c], weights[c], inner[c])
            curve(curve_code[c], inner[c].ravel(), form[c, 2], form[c, 3], s[c].ravel(), fx[c].ravel(), f1[c].ravel(),
                   f2[c].ravel())  # fmt: skip
        total = 0.0
        for g in range(geos):
            part = 0.0
            if prior_code[c] == 1:
                for t in range(weeks):
                    part += value[c, g, t] * margin(curve_code[c], inner[c, g, t], form[c, 2], form[c, 3])[0]
            elif prior_code[c] == 0:
                for t in range(weeks):
                    part += value[c, g, t] * s[c, g, t]
            total += geo_effect[c, g] * part
        worth[c] = max(total, FLOOR) if prior_code[c] < 2 else 1.0
        coefficient[c] = np.exp(min(z[at_effect + c], 300.0)) * unit[c] / worth[c]
        for g in range(geos):
            b = coefficient[c] * geo_effect[c, g]
            for t in range(weeks):
                media[g, t] += b * s[c, g, t]

    # The likelihood: weekly means over geos, and what is left within weeks; the baseline integrated out of both.
    root = np.sqrt(float(geos))
    mean, mean_slope = np.empty(weeks), np.empty(weeks)
    rest, rest_slope = np.empty(cells if geos > 1 else 0), np.empty(cells if geos > 1 else 0)
    for t in range(weeks):
        total = 0.0
        for g in range(geos):
            total += y[g, t] - media[g, t]
        mean[t] = mask[t] * total / root
        if geos > 1:
            for g in range(geos):
                rest[g * weeks + t] = mask[t] * (y[g, t] - media[g, t] - total / geos)
    variance = sigma * sigma
    shared = variance + geos * week_sigma * week_sigma
    part, by_log = _block(u_mean, d2_mean, n_mean, mean, shared, mean_slope)
    logp += part
    grad[at_sigma] += 2.0 * by_log * variance / shared
    if week_shocks:
        grad[at_week] += 2.0 * by_log * geos * week_sigma * week_sigma / shared
    back = np.empty((geos, weeks))  # d logp / d media
    if geos > 1:
        part, by_log = _block(u_within, d2_within, n_within, rest, variance, rest_slope)
        logp += part
        grad[at_sigma] += 2.0 * by_log
        for t in range(weeks):
            total = 0.0
            for g in range(geos):
                total += rest_slope[g * weeks + t]
            for g in range(geos):
                back[g, t] = -mask[t] * (mean_slope[t] / root + rest_slope[g * weeks + t] - total / geos)
    else:
        for t in range(weeks):
            back[0, t] = -mask[t] * mean_slope[t]

    # Backward: lift tests first, because they too pull at coefficients and forms.
    by_coefficient = np.zeros(channels)
    by_geo = np.zeros((channels, geos))
    out_w, out_e = np.empty(lags), np.empty(geos)
    for j in range(tests):
        c = test_channel[j]
        gained, g1, g2 = _lift(j, curve_code[c], after[c] == 1, form[c, 2], form[c, 3], weights[c], rows, lags,
                               test_geo, test_weight, with_x, without_x, with_m, without_m, geo_effect[c], out_w,
                               out_e)  # fmt: skip
        gap = (coefficient[c] * gained - test_effect[j]) / test_error[j]
        logp -= 0.5 * gap * gap
        pull = -gap / test_error[j]
        by_coefficient[c] += pull * gained
        pull *= coefficient[c]
        d_form[c, 2] += pull * g1
        d_form[c, 3] += pull * g2
        for lag in range(lags):
            d_form[c, 0] += pull * out_w[lag] * w1[c, lag]
            d_form[c, 1] += pull * out_w[lag] * w2[c, lag]
        for g in range(geos):
            by_geo[c, g] += pull * out_e[g]

    ds, di = np.empty((geos, weeks)), np.empty((geos, weeks))
    by_weight = np.empty(lags)
    for c in range(channels):
        total = 0.0
        for g in range(geos):
            part = 0.0
            for t in range(weeks):
                part += back[g, t] * s[c, g, t]
            total += geo_effect[c, g] * part
            by_geo[c, g] += coefficient[c] * part
        by_coefficient[c] += total
        grad[at_effect + c] += coefficient[c] * by_coefficient[c]
        by_worth = -coefficient[c] * by_coefficient[c] / worth[c] if prior_code[c] < 2 else 0.0
        for g in range(geos):
            b = coefficient[c] * geo_effect[c, g]
            if prior_code[c] == 0:
                v = by_worth * geo_effect[c, g]
                part = 0.0
                for t in range(weeks):
                    ds[g, t] = back[g, t] * b + v * value[c, g, t]
                    part += value[c, g, t] * s[c, g, t]
                by_geo[c, g] += by_worth * part
            else:
                for t in range(weeks):
                    ds[g, t] = back[g, t] * b
        d1, d2 = 0.0, 0.0
        if after[c]:
            _correlate(inner[c], ds, by_weight)
            _pull_back(ds, weights[c], di)
            for g in range(geos):
                for t in range(weeks):
                    pulled = di[g, t] * multiplier[c, g, t]
                    d1 += pulled * f1[c, g, t]
                    d2 += pulled * f2[c, g, t]
        else:
            for g in range(geos):
                for t in range(weeks):
                    d1 += ds[g, t] * f1[c, g, t]
                    d2 += ds[g, t] * f2[c, g, t]
                    di[g, t] = ds[g, t] * fx[c, g, t]
            if prior_code[c] == 1:
                for g in range(geos):
                    part = 0.0
                    for t in range(weeks):
                        m, mx, m1, m2 = margin(curve_code[c], inner[c, g, t], form[c, 2], form[c, 3])
                        v = by_worth * geo_effect[c, g] * value[c, g, t]
                        part += value[c, g, t] * m
                        di[g, t] += v * mx
                        d1 += v * m1
                        d2 += v * m2
                    by_geo[c, g] += by_worth * part
            _correlate(x[c], di, by_weight)
        d_form[c, 2] += d1
        d_form[c, 3] += d2
        for lag in range(lags):
            d_form[c, 0] += by_weight[lag] * w1[c, lag]
            d_form[c, 1] += by_weight[lag] * w2[c, lag]
        for k in range(4):
            p = place[c, k]
            if p >= 0:
                inner_slope = form[c, k] * (1.0 - form[c, k]) if p < n_share else form[c, k]
                grad[p] += d_form[c, k] * inner_slope
        if geos > 1:
            spread = np.exp(min(z[at_spread + c], 100.0))
            for g in range(geos):
                offset = z[at_offset + c * geos + g]
                pulled = by_geo[c, g] * geo_effect[c, g]
                grad[at_spread + c] += pulled * spread * offset
                grad[at_offset + c * geos + g] += pulled * spread
    return logp
