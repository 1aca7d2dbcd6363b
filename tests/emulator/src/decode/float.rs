//! Floating-point arithmetic with defined rounding (ISA manual 9.7.3, 9.7.4): f32, f64, and scalar f16 and bf16.

use half::{bf16, f16};

use super::Result;
use super::context::Decoder;
use super::integer::emit;
use super::words::Words;
use crate::exact::{self, Format, Round};
use crate::exec::program::{Inst, LaneOp};
use crate::exec::{Lane, Regs, Row};
use crate::profile::Class;
use crate::ptx::{Instruction, Type};

/// Flush subnormal numbers to zero.
const FTZ: u64 = 1;
/// Clamp to [0, 1].
const SAT: u64 = 2;
/// NaN if an operand is NaN (`min` and `max`).
const NAN: u64 = 4;
/// Negative results become zero.
const RELU: u64 = 8;
/// Compare absolute values.
const XORSIGN_ABS: u64 = 16;

/// A floating-point type: how it lies in registers, and its arithmetic by way of `f64`.
pub trait Float: Copy {
    /// How it lies in a register.
    type Bits: Lane;
    /// The format.
    const FORMAT: Format;
    /// Value of the bits.
    fn value(bits: Self::Bits) -> f64;
    /// A value that is a number of the format, or NaN.
    fn bits(value: f64) -> Self::Bits;
}

impl Float for f32 {
    type Bits = f32;
    const FORMAT: Format = exact::F32;
    fn value(bits: f32) -> f64 {
        bits.into()
    }
    fn bits(value: f64) -> f32 {
        canonical(value as f32)
    }
}

impl Float for f64 {
    type Bits = f64;
    const FORMAT: Format = exact::F64;
    fn value(bits: f64) -> f64 {
        bits
    }
    fn bits(value: f64) -> f64 {
        value
    }
}

impl Float for f16 {
    type Bits = u16;
    const FORMAT: Format = exact::F16;
    fn value(bits: u16) -> f64 {
        f16::from_bits(bits).into()
    }
    fn bits(value: f64) -> u16 {
        if value.is_nan() { 0x7fff } else { f16::from_f64(value).to_bits() }
    }
}

impl Float for bf16 {
    type Bits = u16;
    const FORMAT: Format = exact::BF16;
    fn value(bits: u16) -> f64 {
        bf16::from_bits(bits).into()
    }
    fn bits(value: f64) -> u16 {
        if value.is_nan() { 0x7fff } else { bf16::from_f64(value).to_bits() }
    }
}

/// The NaN that devices give for f32.
#[inline(always)]
pub fn canonical(value: f32) -> f32 {
    if value.is_nan() { f32::from_bits(0x7fff_ffff) } else { value }
}

/// Zero of the same sign for a subnormal number.
#[inline(always)]
pub fn flush(value: f32) -> f32 {
    if value.abs() < f32::MIN_POSITIVE { 0f32.copysign(value) } else { value }
}

/// Clamps to [0, 1]; NaN becomes 0.
#[inline(always)]
pub fn saturate(value: f32) -> f32 {
    if value > 0.0 { value.min(1.0) } else { 0.0 }
}

/// A single-precision operation, specialised for its flags.
macro_rules! single {
    ($flags:expr, $map:ident, |$($x:ident),*| $e:expr) => {{
        let op: LaneOp = match $flags {
            0 => |r, i, m| r.$map(i, m, |$($x: f32),*| canonical($e)),
            FTZ => |r, i, m| r.$map(i, m, |$($x: f32),*| { $(let $x = flush($x);)* flush(canonical($e)) }),
            SAT => |r, i, m| r.$map(i, m, |$($x: f32),*| saturate($e)),
            _ => |r, i, m| r.$map(i, m, |$($x: f32),*| { $(let $x = flush($x);)* flush(saturate($e)) }),
        };
        op
    }};
}

/// All instructions of the family.
pub fn decode(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    let round = w.choice(Round::from_name).unwrap_or(Round::Nearest);
    let mut flags = 0;
    for (word, flag) in [("ftz", FTZ), ("sat", SAT), ("NaN", NAN), ("relu", RELU)] {
        flags |= if w.take(word) { flag } else { 0 };
    }
    if w.take("xorsign") && w.take("abs") {
        flags |= XORSIGN_ABS;
    }
    let ty = w.ty()?;
    match i.opcode {
        "abs" | "neg" | "copysign" => return signs(d, i, w, ty, flags),
        "min" | "max" => return min_max(d, i, w, ty, flags),
        "testp" => return testp(d, i, w, ty),
        _ if flags & !(FTZ | SAT | RELU) != 0 => return w.unsupported(),
        _ => {}
    }
    let fused = matches!(i.opcode, "fma" | "mad");
    let class = match (fused, i.opcode) {
        (true, _) => Class::Fma,
        (_, "div" | "sqrt" | "rcp") => Class::Special,
        _ => Class::Float,
    };
    let operands = match i.opcode {
        "fma" | "mad" => 3,
        "sqrt" | "rcp" => 1,
        _ => 2,
    };
    let op: LaneOp = match (ty, i.opcode, round) {
        (Type::F32, "add", Round::Nearest) if flags & RELU == 0 => single!(flags, map2, |a, b| a + b),
        (Type::F32, "sub", Round::Nearest) => single!(flags, map2, |a, b| a - b),
        (Type::F32, "mul", Round::Nearest) => single!(flags, map2, |a, b| a * b),
        (Type::F32, "fma" | "mad", Round::Nearest) if flags == 0 => fma_row,
        (Type::F32, "fma" | "mad", Round::Nearest) => single!(flags, map3, |a, b, c| a.mul_add(b, c)),
        (Type::F32, "div", Round::Nearest) => single!(flags, map2, |a, b| a / b),
        (Type::F32, "sqrt", Round::Nearest) => single!(flags, map1, |a| a.sqrt()),
        (Type::F32, "rcp", Round::Nearest) => single!(flags, map1, |a| 1.0 / a),
        (Type::F32, ..) => exactly::<f32>(i.opcode),
        (Type::F64, "add", Round::Nearest) => |r, i, m| r.map2(i, m, |a: f64, b: f64| a + b),
        (Type::F64, "sub", Round::Nearest) => |r, i, m| r.map2(i, m, |a: f64, b: f64| a - b),
        (Type::F64, "mul", Round::Nearest) => |r, i, m| r.map2(i, m, |a: f64, b: f64| a * b),
        (Type::F64, "fma" | "mad", Round::Nearest) => |r, i, m| r.map3(i, m, |a: f64, b: f64, c: f64| a.mul_add(b, c)),
        (Type::F64, "div", Round::Nearest) => |r, i, m| r.map2(i, m, |a: f64, b: f64| a / b),
        (Type::F64, "sqrt", Round::Nearest) => |r, i, m| r.map1(i, m, |a: f64| a.sqrt()),
        (Type::F64, "rcp", Round::Nearest) => |r, i, m| r.map1(i, m, |a: f64| 1.0 / a),
        (Type::F64, ..) => exactly::<f64>(i.opcode),
        (Type::F16, "add" | "sub" | "mul" | "fma", Round::Nearest) => exactly::<f16>(i.opcode),
        (Type::Bf16, "add" | "sub" | "mul" | "fma", Round::Nearest) => exactly::<bf16>(i.opcode),
        _ => return w.unsupported(),
    };
    let sources = [ty; 3];
    emit(d, i, op, class, ty, &sources[..operands])?;
    let last = d.code.last_mut().expect("just emitted");
    (last.variant, last.imm) = (round as u8, flags);
    Ok(())
}

/// `fma.rn.f32`, the instruction that kernels spend their time in.
fn fma_row(r: &mut Regs, i: &Inst, m: u32) {
    let (a, b, c) = (*r.get::<f32>(i.a), *r.get::<f32>(i.b), *r.get::<f32>(i.c));
    r.set(i.d, m, &fused(&a, &b, &c));
}

#[multiversion::multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
fn fused(a: &Row<f32>, b: &Row<f32>, c: &Row<f32>) -> Row<f32> {
    std::array::from_fn(|lane| canonical(a[lane].mul_add(b[lane], c[lane])))
}

/// The operation with the rounding and the flags of the instruction.
fn exactly<T: Float + 'static>(opcode: &str) -> LaneOp
where
    Row<T::Bits>: bytemuck::Pod,
{
    fn one<T: Float>(r: &mut Regs, i: &Inst, m: u32, f: impl Fn(f64, Round) -> f64)
    where
        Row<T::Bits>: bytemuck::Pod,
    {
        let round = Round::from_index(i.variant);
        r.map1::<T::Bits, T::Bits>(i, m, |a| finish::<T>(f(input::<T>(a, i.imm), round), i.imm));
    }
    fn two<T: Float>(r: &mut Regs, i: &Inst, m: u32, f: impl Fn(f64, f64, Round) -> f64)
    where
        Row<T::Bits>: bytemuck::Pod,
    {
        let round = Round::from_index(i.variant);
        r.map2::<T::Bits, T::Bits, T::Bits>(i, m, |a, b| finish::<T>(f(input::<T>(a, i.imm), input::<T>(b, i.imm), round), i.imm));
    }
    match opcode {
        "add" => |r, i, m| two::<T>(r, i, m, |a, b, round| exact::add(a, b, T::FORMAT, round)),
        "sub" => |r, i, m| two::<T>(r, i, m, |a, b, round| exact::add(a, -b, T::FORMAT, round)),
        "mul" => |r, i, m| two::<T>(r, i, m, |a, b, round| exact::mul(a, b, T::FORMAT, round)),
        "div" => |r, i, m| two::<T>(r, i, m, |a, b, round| exact::div(a, b, T::FORMAT, round)),
        "rcp" => |r, i, m| one::<T>(r, i, m, |a, round| exact::div(1.0, a, T::FORMAT, round)),
        "sqrt" => |r, i, m| one::<T>(r, i, m, |a, round| exact::sqrt(a, T::FORMAT, round)),
        _ => |r, i, m| {
            let round = Round::from_index(i.variant);
            r.map3::<T::Bits, T::Bits, T::Bits, T::Bits>(i, m, |a, b, c| {
                let [a, b, c] = [a, b, c].map(|x| input::<T>(x, i.imm));
                finish::<T>(exact::fma(a, b, c, T::FORMAT, round), i.imm)
            });
        },
    }
}

fn flushed<T: Float>(value: f64, flags: u64) -> f64 {
    let least = 2f64.powi(T::FORMAT.least);
    if flags & FTZ != 0 && value.abs() < least { 0f64.copysign(value) } else { value }
}

fn input<T: Float>(bits: T::Bits, flags: u64) -> f64 {
    flushed::<T>(T::value(bits), flags)
}

fn finish<T: Float>(value: f64, flags: u64) -> T::Bits {
    let value = match flags {
        _ if flags & SAT != 0 && value.is_nan() => 0.0,
        _ if flags & SAT != 0 => value.clamp(0.0, 1.0),
        _ if flags & RELU != 0 && value <= 0.0 => 0.0,
        _ => value,
    };
    // A saturated −0 is +0.
    let value = if flags & SAT != 0 && value == 0.0 { 0.0 } else { value };
    T::bits(flushed::<T>(value, flags))
}

/// `abs`, `neg` and `copysign` change nothing but the sign.
fn signs(d: &mut Decoder, i: &Instruction, w: &mut Words, ty: Type, flags: u64) -> Result<()> {
    let op: LaneOp = match (i.opcode, ty, flags) {
        ("abs", Type::F32, 0) => |r, i, m| r.map1(i, m, f32::abs),
        ("abs", Type::F32, FTZ) => |r, i, m| r.map1(i, m, |a: f32| flush(a.abs())),
        ("abs", Type::F64, 0) => |r, i, m| r.map1(i, m, f64::abs),
        ("abs", Type::F16 | Type::Bf16, 0 | FTZ) => |r, i, m| r.map1(i, m, |a: u16| a & 0x7fff),
        ("neg", Type::F32, 0) => |r, i, m| r.map1(i, m, |a: f32| -a),
        ("neg", Type::F32, FTZ) => |r, i, m| r.map1(i, m, |a: f32| flush(-a)),
        ("neg", Type::F64, 0) => |r, i, m| r.map1(i, m, |a: f64| -a),
        ("neg", Type::F16 | Type::Bf16, 0 | FTZ) => |r, i, m| r.map1(i, m, |a: u16| a ^ 0x8000),
        ("copysign", Type::F32, 0) => |r, i, m| r.map2(i, m, |a: f32, b: f32| b.copysign(a)),
        ("copysign", Type::F64, 0) => |r, i, m| r.map2(i, m, |a: f64, b: f64| b.copysign(a)),
        _ => return w.unsupported(),
    };
    let sources = [ty; 2];
    emit(d, i, op, Class::Float, ty, &sources[..if i.opcode == "copysign" { 2 } else { 1 }])
}

/// The smaller (larger) of two numbers; −0 is less than +0, and NaN gives way unless `flags` say otherwise.
pub fn choose(a: f64, b: f64, larger: bool, flags: u64) -> f64 {
    let (x, y) = if flags & XORSIGN_ABS != 0 { (a.abs(), b.abs()) } else { (a, b) };
    let first = match x.partial_cmp(&y) {
        _ if flags & NAN != 0 && (x.is_nan() || y.is_nan()) => return f64::NAN,
        None => y.is_nan(),
        Some(std::cmp::Ordering::Equal) => x.is_sign_negative() != larger,
        Some(order) => order.is_lt() != larger,
    };
    let chosen = if first { x } else { y };
    if flags & XORSIGN_ABS != 0 && !chosen.is_nan() {
        return if a.is_sign_negative() != b.is_sign_negative() { -chosen } else { chosen };
    }
    if flags & RELU != 0 && chosen <= 0.0 { 0.0 } else { chosen }
}

/// The flags that `min` and `max` of pairs know, taken from the modifiers.
pub fn choice_flags(w: &mut Words) -> u64 {
    [("ftz", FTZ), ("NaN", NAN), ("relu", RELU)].iter().fold(0, |flags, (word, flag)| flags | if w.take(word) { *flag } else { 0 })
}

fn min_max(d: &mut Decoder, i: &Instruction, w: &mut Words, ty: Type, flags: u64) -> Result<()> {
    fn row<T: Float>(r: &mut Regs, i: &Inst, m: u32, larger: bool)
    where
        Row<T::Bits>: bytemuck::Pod,
    {
        let f = |a, b| T::bits(choose(input::<T>(a, i.imm), input::<T>(b, i.imm), larger, i.imm));
        r.map2::<T::Bits, T::Bits, T::Bits>(i, m, f);
    }
    let plain = flags == 0;
    let op: LaneOp = match (ty, i.opcode) {
        (Type::F32, "min") if plain => {
            |r, i, m| r.map2(i, m, |a: f32, b: f32| canonical(if a == b { f32::from_bits(a.to_bits() | b.to_bits()) } else { a.min(b) }))
        }
        (Type::F32, "max") if plain => {
            |r, i, m| r.map2(i, m, |a: f32, b: f32| canonical(if a == b { f32::from_bits(a.to_bits() & b.to_bits()) } else { a.max(b) }))
        }
        (Type::F32, "min") => |r, i, m| row::<f32>(r, i, m, false),
        (Type::F32, _) => |r, i, m| row::<f32>(r, i, m, true),
        (Type::F64, "min") => |r, i, m| row::<f64>(r, i, m, false),
        (Type::F64, _) => |r, i, m| row::<f64>(r, i, m, true),
        (Type::F16, "min") => |r, i, m| row::<f16>(r, i, m, false),
        (Type::F16, _) => |r, i, m| row::<f16>(r, i, m, true),
        (Type::Bf16, "min") => |r, i, m| row::<bf16>(r, i, m, false),
        (Type::Bf16, _) => |r, i, m| row::<bf16>(r, i, m, true),
        _ => return w.unsupported(),
    };
    emit(d, i, op, Class::Float, ty, &[ty, ty])?;
    d.code.last_mut().expect("just emitted").imm = flags;
    Ok(())
}

/// `testp`: the kind of a number.
fn testp(d: &mut Decoder, i: &Instruction, w: &mut Words, ty: Type) -> Result<()> {
    use std::num::FpCategory::{Infinite, Nan, Normal, Subnormal};
    let op: LaneOp = match (w.needs("property", Property::from_name)?, ty) {
        (Property::Finite, Type::F32) => |r, i, m| test::<f32>(r, i, m, |a| a.is_finite()),
        (Property::Infinite, Type::F32) => |r, i, m| test::<f32>(r, i, m, |a| a.classify() == Infinite),
        (Property::Number, Type::F32) => |r, i, m| test::<f32>(r, i, m, |a| !a.is_nan()),
        (Property::NotANumber, Type::F32) => |r, i, m| test::<f32>(r, i, m, |a| a.classify() == Nan),
        (Property::Normal, Type::F32) => |r, i, m| test::<f32>(r, i, m, |a| a.classify() == Normal || a == 0.0),
        (Property::Subnormal, Type::F32) => |r, i, m| test::<f32>(r, i, m, |a| a.classify() == Subnormal),
        (Property::Finite, Type::F64) => |r, i, m| test::<f64>(r, i, m, |a| a.is_finite()),
        (Property::Infinite, Type::F64) => |r, i, m| test::<f64>(r, i, m, |a| a.classify() == Infinite),
        (Property::Number, Type::F64) => |r, i, m| test::<f64>(r, i, m, |a| !a.is_nan()),
        (Property::NotANumber, Type::F64) => |r, i, m| test::<f64>(r, i, m, |a| a.classify() == Nan),
        (Property::Normal, Type::F64) => |r, i, m| test::<f64>(r, i, m, |a| a.classify() == Normal || a == 0.0),
        (Property::Subnormal, Type::F64) => |r, i, m| test::<f64>(r, i, m, |a| a.classify() == Subnormal),
        _ => return w.unsupported(),
    };
    emit(d, i, op, Class::Float, Type::Pred, &[ty])
}

#[derive(Clone, Copy)]
enum Property {
    Finite,
    Infinite,
    Number,
    NotANumber,
    Normal,
    Subnormal,
}

impl Property {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "finite" => Self::Finite,
            "infinite" => Self::Infinite,
            "number" => Self::Number,
            "notanumber" => Self::NotANumber,
            "normal" => Self::Normal,
            "subnormal" => Self::Subnormal,
            _ => return None,
        })
    }
}

fn test<T: Lane>(r: &mut Regs, i: &Inst, m: u32, f: impl Fn(T) -> bool)
where
    Row<T>: bytemuck::Pod,
{
    let value = r.compare::<T>(i.a, i.a, |a, _| f(a));
    r.set_pred(i.d, m, value);
}
