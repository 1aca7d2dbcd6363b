//! Exact arithmetic on floating-point numbers, rounded once, in any direction and to any format.
//!
//! It serves what the host's own arithmetic does not give: directed rounding, and the small formats.

/// How a result is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// To the nearest, ties to even (`.rn`).
    Nearest,
    /// Towards zero (`.rz`).
    Zero,
    /// Towards minus infinity (`.rm`).
    Down,
    /// Towards plus infinity (`.rp`).
    Up,
    /// To the nearest, ties away from zero (`.rna`).
    Away,
}

impl Round {
    /// The rounding a modifier names.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "rn" => Round::Nearest,
            "rz" => Round::Zero,
            "rm" => Round::Down,
            "rp" => Round::Up,
            "rna" => Round::Away,
            _ => return None,
        })
    }

    /// The inverse of `as u8`.
    pub fn from_index(index: u8) -> Self {
        [Round::Nearest, Round::Zero, Round::Down, Round::Up, Round::Away][index as usize]
    }
}

/// A binary floating-point format.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// Bits of the significand, with the leading one.
    pub digits: i32,
    /// Exponent of the smallest normal number.
    pub least: i32,
    /// Exponent of the largest number.
    pub most: i32,
}

/// IEEE half precision.
pub const F16: Format = Format { digits: 11, least: -14, most: 15 };
/// The high half of a single.
pub const BF16: Format = Format { digits: 8, least: -126, most: 127 };
/// A single with a shorter significand.
pub const TF32: Format = Format { digits: 11, least: -126, most: 127 };
/// IEEE single precision.
pub const F32: Format = Format { digits: 24, least: -126, most: 127 };
/// IEEE double precision.
pub const F64: Format = Format { digits: 53, least: -1022, most: 1023 };

/// `±mantissa · 2^exponent`; bits that were lost are remembered in the lowest bit.
#[derive(Clone, Copy)]
struct Exact {
    negative: bool,
    mantissa: u128,
    exponent: i32,
}

impl Exact {
    fn from_f64(value: f64) -> Self {
        let bits = value.to_bits();
        let field = (bits >> 52 & 0x7ff) as i32;
        let fraction = u128::from(bits & ((1 << 52) - 1));
        let (mantissa, exponent) = if field == 0 { (fraction, -1074) } else { (fraction | 1 << 52, field - 1075) };
        Self { negative: value.is_sign_negative(), mantissa, exponent }
    }

    fn from_integer(value: i128) -> Self {
        Self { negative: value < 0, mantissa: value.unsigned_abs(), exponent: 0 }
    }

    /// A number with bit 125 as its highest, of equal value.
    fn normal(self) -> Self {
        let shift = self.mantissa.leading_zeros() as i32 - 2;
        if self.mantissa == 0 {
            return self;
        }
        Self {
            mantissa: if shift < 0 { sticky_shift(self.mantissa, -shift) } else { self.mantissa << shift },
            exponent: self.exponent - shift,
            ..self
        }
    }

    fn mul(self, other: Self) -> Self {
        Self {
            negative: self.negative != other.negative,
            mantissa: self.mantissa * other.mantissa,
            exponent: self.exponent + other.exponent,
        }
    }

    fn add(self, other: Self) -> Self {
        let (a, b) = (self.normal(), other.normal());
        if a.mantissa == 0 || b.mantissa == 0 {
            return if a.mantissa == 0 { b } else { a };
        }
        let (a, b) = if a.exponent >= b.exponent { (a, b) } else { (b, a) };
        let low = sticky_shift(b.mantissa, a.exponent - b.exponent);
        match a.negative == b.negative {
            true => Self { mantissa: a.mantissa + low, ..a },
            false if a.mantissa >= low => Self { mantissa: a.mantissa - low, ..a },
            false => Self { mantissa: low - a.mantissa, negative: b.negative, ..a },
        }
    }

    fn div(self, other: Self) -> Self {
        let (a, b) = (self.normal(), other);
        let rest = u128::from(a.mantissa % b.mantissa != 0);
        Self { negative: a.negative != b.negative, mantissa: (a.mantissa / b.mantissa) << 1 | rest, exponent: a.exponent - b.exponent - 1 }
    }

    fn sqrt(self) -> Self {
        let mut a = self.normal();
        if a.exponent % 2 != 0 {
            a = Self { mantissa: a.mantissa << 1, exponent: a.exponent - 1, ..a };
        }
        let root = a.mantissa.isqrt();
        let rest = u128::from(root * root != a.mantissa);
        Self { negative: false, mantissa: root << 1 | rest, exponent: a.exponent / 2 - 1 }
    }

    /// Rounds to a format; the result is exact as an `f64`.
    fn round(self, format: Format, round: Round) -> f64 {
        let sign = if self.negative { -1.0 } else { 1.0 };
        if self.mantissa == 0 {
            return sign * 0.0;
        }
        let top = 127 - self.mantissa.leading_zeros() as i32 + self.exponent;
        let unit = top.max(format.least) - (format.digits - 1);
        let drop = unit - self.exponent;
        let (mut kept, lost, half) = if drop <= 0 {
            (self.mantissa << -drop, 0, 1)
        } else if drop > 127 {
            (0, 1, 2)
        } else {
            (self.mantissa >> drop, self.mantissa & ((1 << drop) - 1), 1 << (drop - 1))
        };
        let up = match round {
            Round::Nearest => lost > half || lost == half && kept & 1 != 0,
            Round::Away => lost >= half,
            Round::Zero => false,
            Round::Down => lost != 0 && self.negative,
            Round::Up => lost != 0 && !self.negative,
        };
        kept += u128::from(up);
        let largest = scale(((1u64 << format.digits) - 1) as f64, format.most - format.digits + 1);
        let value = scale(kept as f64, unit);
        if value <= largest {
            return sign * value;
        }
        let infinite = match round {
            Round::Nearest | Round::Away => true,
            Round::Zero => false,
            Round::Down => self.negative,
            Round::Up => !self.negative,
        };
        sign * if infinite { f64::INFINITY } else { largest }
    }
}

fn sticky_shift(value: u128, by: i32) -> u128 {
    match by {
        0 => value,
        1..=127 => value >> by | u128::from(value & ((1 << by) - 1) != 0),
        _ => u128::from(value != 0),
    }
}

/// `value · 2^exponent` where that is exact or infinite.
fn scale(value: f64, exponent: i32) -> f64 {
    let power = |exponent: i32| f64::from_bits(((exponent + 1023) as u64) << 52);
    let first = exponent.clamp(-1000, 1000);
    value * power(first) * power((exponent - first).clamp(-1000, 1000))
}

/// `a + b`; the operands are numbers of the format, as are the results of all functions here.
pub fn add(a: f64, b: f64, format: Format, round: Round) -> f64 {
    fma(a, 1.0, b, format, round)
}

/// `a · b`.
pub fn mul(a: f64, b: f64, format: Format, round: Round) -> f64 {
    let plain = a * b;
    if plain.is_nan() || a.is_infinite() || b.is_infinite() || a == 0.0 || b == 0.0 {
        return plain;
    }
    Exact::from_f64(a).mul(Exact::from_f64(b)).round(format, round)
}

/// `a · b + c` with one rounding.
pub fn fma(a: f64, b: f64, c: f64, format: Format, round: Round) -> f64 {
    if !(a.is_finite() && b.is_finite() && c.is_finite()) {
        let product = a * b;
        return if product.is_finite() { c } else { product + c };
    }
    let product = Exact::from_f64(a).mul(Exact::from_f64(b));
    let sum = product.add(Exact::from_f64(c));
    if sum.mantissa == 0 {
        let (x, y) = (product.negative, c.is_sign_negative());
        let negative = if x == y { x } else { round == Round::Down };
        return if negative { -0.0 } else { 0.0 };
    }
    sum.round(format, round)
}

/// `a / b`.
pub fn div(a: f64, b: f64, format: Format, round: Round) -> f64 {
    if !(a.is_finite() && b.is_finite()) || a == 0.0 || b == 0.0 {
        return a / b;
    }
    Exact::from_f64(a).div(Exact::from_f64(b)).round(format, round)
}

/// The square root.
pub fn sqrt(a: f64, format: Format, round: Round) -> f64 {
    if !(a.is_finite() && a > 0.0) {
        return a.sqrt();
    }
    Exact::from_f64(a).sqrt().round(format, round)
}

/// A number in another format.
pub fn convert(a: f64, format: Format, round: Round) -> f64 {
    if a.is_finite() { Exact::from_f64(a).round(format, round) } else { a }
}

/// An integer as a number of a format.
pub fn from_integer(value: i128, format: Format, round: Round) -> f64 {
    Exact::from_integer(value).round(format, round)
}

/// A number as a single, rounded towards zero.
pub fn cut_to_f32(value: f64) -> f32 {
    let near = value as f32;
    if near.is_finite() && f64::from(near).abs() > value.abs() { f32::from_bits(near.to_bits() - 1) } else { near }
}

/// A number as a single, rounded so that it can be rounded again to a shorter format (the last digit is odd if it is not exact).
pub fn to_odd_f32(value: f64) -> f32 {
    let near = value as f32;
    if f64::from(near) == value || near.is_nan() || near.to_bits() & 1 != 0 {
        return near;
    }
    let towards_zero = f64::from(near).abs() > value.abs();
    f32::from_bits(if towards_zero { near.to_bits() - 1 } else { near.to_bits() + 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of all sizes, ties and near-ties among them.
    fn samples() -> Vec<f32> {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as u32
        };
        let mut found: Vec<f32> = (0..60).map(|_| f32::from_bits(next())).filter(|value| value.is_finite()).collect();
        found.extend([0.0, -0.0, 1.0, -1.0, 1.5, f32::MAX, f32::MIN_POSITIVE, f32::from_bits(1), -f32::from_bits(0x7f_ffff), 1e-30, 3.0]);
        found
    }

    #[test]
    fn agrees_with_the_host_when_rounding_to_nearest() {
        for a in samples() {
            for b in samples() {
                let (x, y) = (f64::from(a), f64::from(b));
                let check = |name: &str, got: f64, expected: f32| {
                    assert_eq!((got as f32).to_bits(), expected.to_bits(), "{name}({a:e}, {b:e}): got {got:e}, expected {expected:e}");
                };
                check("add", add(x, y, F32, Round::Nearest), a + b);
                check("mul", mul(x, y, F32, Round::Nearest), a * b);
                if b != 0.0 {
                    check("div", div(x, y, F32, Round::Nearest), a / b);
                }
                for c in [a, -a * b, 1.0, 1e-40] {
                    if c.is_finite() {
                        check("fma", fma(x, y, c.into(), F32, Round::Nearest), a.mul_add(b, c));
                        assert_eq!(fma(x, y, c.into(), F64, Round::Nearest).to_bits(), x.mul_add(y, c.into()).to_bits());
                    }
                }
            }
            let root = sqrt(a.into(), F32, Round::Nearest) as f32;
            assert!(root.to_bits() == a.sqrt().to_bits() || a < 0.0);
        }
    }

    #[test]
    fn directed_results_enclose_the_exact_one() {
        let third = (div(1.0, 3.0, F32, Round::Down), div(1.0, 3.0, F32, Round::Up));
        assert_eq!(((third.0 as f32).to_bits(), (third.1 as f32).to_bits()), (0x3eaa_aaaa, 0x3eaa_aaab));
        assert_eq!(div(-1.0, 3.0, F32, Round::Zero), -third.0);
        assert_eq!(add(1.0, 1e-30, F32, Round::Up) as f32, 1.0 + f32::EPSILON);
        assert_eq!(add(1.0, -1e-30, F32, Round::Zero) as f32, 1.0 - f32::EPSILON / 2.0);
        assert!(add(1.0, -1.0, F32, Round::Down).is_sign_negative());
        assert_eq!(mul(f32::MAX.into(), 2.0, F32, Round::Zero) as f32, f32::MAX);
        assert_eq!(mul(f32::MAX.into(), 2.0, F32, Round::Up), f64::INFINITY);
    }

    #[test]
    fn small_formats() {
        assert_eq!(convert(65519.0, F16, Round::Nearest), 65504.0);
        assert_eq!(convert(65520.0, F16, Round::Nearest), f64::INFINITY);
        assert_eq!(convert(2f64.powi(-25), F16, Round::Nearest), 0.0);
        assert_eq!(convert(2f64.powi(-25), F16, Round::Up), 2f64.powi(-24));
        assert_eq!(convert(1.0 + 2f64.powi(-11), F16, Round::Away), 1.0 + 2f64.powi(-10));
        assert_eq!(from_integer((1 << 24) + 1, F32, Round::Up), (1 << 24) as f64 + 2.0);
        let tie = 1.0 + 2f64.powi(-11) + 2f64.powi(-40);
        assert_eq!(half::f16::from_f32(to_odd_f32(tie)).to_f32(), 1.0 + 2f32.powi(-10));
    }
}
