//! The natural logarithm from additions, multiplications and divisions alone.
//!
//! The standard library's comes from the platform, whose last bit may differ; then a simulation with the same seed would be
//! another run on another machine.

/// ln(x) of a positive, normal x, to about 1e-13.
///
/// x = m × 2^k with m near 1; ln m = 2 (s + s³/3 + s⁵/5 + …) with s = (m − 1) ÷ (m + 1), where |s| ≤ 0.172.
pub(super) fn ln(x: f64) -> f64 {
    const FRACTION: u64 = (1 << 52) - 1;
    const BIAS: i64 = 1_023;
    debug_assert!(x.is_normal() && x > 0.0, "{x}");
    let bits = x.to_bits();
    let mut exponent = (bits >> 52) as i64 - BIAS;
    let mut mantissa = f64::from_bits((bits & FRACTION) | (BIAS as u64) << 52);
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa /= 2.0;
        exponent += 1;
    }
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let series = [15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0]
        .into_iter()
        .fold(0.0, |sum, odd| sum * square + 1.0 / odd);
    2.0 * s * series + exponent as f64 * std::f64::consts::LN_2
}

#[cfg(test)]
mod tests {
    use super::ln;

    #[test]
    fn agrees_with_the_platform() {
        for k in -600..600 {
            let x = 1.037_f64.powi(k);
            assert!((ln(x) - x.ln()).abs() < 1e-12 * (1.0 + x.ln().abs()), "{x}");
        }
        assert_eq!(ln(1.0), 0.0);
    }
}
