"""Prints the polynomial coefficients of math.inc (needs mpmath; run only to change them).

Each fit interpolates at Chebyshev nodes in 60 digits, which is within a factor of three of the minimax
polynomial; degrees are chosen so that the fit's error is below a tenth of an ulp of the final result.
"""

from collections.abc import Callable

import mpmath as mp

mp.mp.dps = 60


def fit(f: Callable, lo: float, hi: float, degree: int) -> tuple[list, mp.mpf]:
    """Coefficients (constant first) of the polynomial through f at Chebyshev nodes, and its largest error."""
    lo, hi, n = mp.mpf(lo), mp.mpf(hi), degree + 1
    nodes = [
        (lo + hi) / 2 + (hi - lo) / 2 * mp.cos(mp.pi * (k + mp.mpf(1) / 2) / n) for k in range(n)
    ]
    rows = mp.matrix([[x**j for j in range(n)] for x in nodes])
    c = list(mp.lu_solve(rows, mp.matrix([f(x) for x in nodes])))
    probe = [lo + (hi - lo) * (k + mp.mpf(1) / 3) / 400 for k in range(400)]
    return c, max(abs(mp.polyval(c[::-1], x) - f(x)) for x in probe)


def exp_q(r):
    return mp.mpf(1) / 2 if abs(r) < 1e-20 else (mp.expm1(r) - r) / r**2


def log_r(z):
    s = mp.sqrt(z)
    return (2 * mp.atanh(s) - 2 * s) / s / z


def pow_r(z):
    s = mp.sqrt(z)
    return (mp.atanh(s) / s - 1 - z / 3) / z**2


def mills(k):  # (1 + 0.8125 t) exp(t^2 / 2) Phi(-t), nearly flat at 0, with q = (t - k) / (t + k)
    def f(q):
        t = k * (1 + q) / (1 - q)
        return (1 + mp.mpf("0.8125") * t) * mp.exp(t * t / 2) * mp.erfc(t / mp.sqrt(2)) / 2

    return f


def erf_p(z):
    x = mp.sqrt(z)
    return mp.erf(x) / x - 1


def sin_s(z):
    x = mp.sqrt(z)
    return (mp.sin(x) - x) / x**3


def cos_c(z):
    return (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2


def main() -> None:
    third = (mp.sqrt(2) - 1) ** 2 / (mp.sqrt(2) + 1) ** 2 * 1.01  # the largest s^2 of log
    quarter = (mp.pi / 4) ** 2 * 1.01
    for bits, degrees, top, k in (
        (32, (4, 3, 2, 10, 5, 3, 2), 15, 3),
        (64, (9, 6, 7, 22, 10, 5, 5), 40, 6),
    ):
        fits = {
            "EXP_Q": (exp_q, -0.3475, 0.3475),
            "LOG_R": (log_r, 1e-12, third),
            "POW_R": (pow_r, 1e-12, third),
            "MILLS": (mills(mp.mpf(k)), -1, (mp.mpf(top) - k) / (top + k)),
            "ERF_P": (erf_p, 1e-12, 0.57),
            "SIN_S": (sin_s, 1e-12, quarter),
            "COS_C": (cos_c, 1e-9, quarter),
        }
        digits, suffix = (9, "f") if bits == 32 else (17, "")
        for (name, (f, lo, hi)), degree in zip(fits.items(), degrees, strict=True):
            c, error = fit(f, lo, hi, degree)
            text = ", ".join(mp.nstr(x, digits, strip_zeros=False) + suffix for x in c)
            print(f"/* {bits} {name}: error {mp.nstr(error, 2)} */\n{text}\n")


if __name__ == "__main__":
    main()
