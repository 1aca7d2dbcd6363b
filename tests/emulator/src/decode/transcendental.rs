//! Approximate functions (ISA manual 9.7.3.12 – 9.7.3.22, 9.7.4): computed to the last digit or nearly, which is more than the manual promises.

use half::{bf16, f16};

use super::Result;
use super::context::Decoder;
use super::float::{canonical, flush};
use super::integer::emit;
use super::words::Words;
use crate::exec::Regs;
use crate::exec::program::{Inst, LaneOp};
use crate::profile::Class;
use crate::ptx::{Instruction, Type};

/// `f` of each lane, specialised for `.ftz`.
macro_rules! single {
    ($ftz:expr, $f:expr) => {
        if $ftz {
            |r, i, m| r.map1(i, m, |a: f32| flush(canonical($f(flush(a)))))
        } else {
            |r, i, m| r.map1(i, m, |a: f32| canonical($f(a)))
        }
    };
}

/// All instructions of the family.
pub fn decode(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    let full = i.opcode == "div" && w.take("full");
    if !full && !w.take("approx") {
        return w.unsupported();
    }
    let ftz = w.take("ftz");
    let ty = w.ty()?;
    if i.opcode == "div" {
        return divide(d, i, w, ty, full, ftz);
    }
    let op: LaneOp = match (i.opcode, ty) {
        ("rcp", Type::F32) => single!(ftz, |a: f32| 1.0 / a),
        ("sqrt", Type::F32) => single!(ftz, f32::sqrt),
        ("rsqrt", Type::F32) => single!(ftz, |a: f32| (1.0 / f64::from(a).sqrt()) as f32),
        ("sin", Type::F32) => single!(ftz, f32::sin),
        ("cos", Type::F32) => single!(ftz, f32::cos),
        ("lg2", Type::F32) => single!(ftz, f32::log2),
        ("ex2", Type::F32) => single!(ftz, f32::exp2),
        ("tanh", Type::F32) if !ftz => single!(false, f32::tanh),
        ("rcp", Type::F64) if ftz => |r, i, m| r.map1(i, m, |a: f64| upper_half(1.0 / flush_double(a))),
        ("rsqrt", Type::F64) if ftz => |r, i, m| r.map1(i, m, |a: f64| upper_half(1.0 / flush_double(a).sqrt())),
        ("rsqrt", Type::F64) => |r, i, m| r.map1(i, m, |a: f64| 1.0 / a.sqrt()),
        ("ex2", Type::F16) if !ftz => |r, i, m| halves::<u16>(r, i, m, half_exp2),
        ("ex2", Type::F16x2) if !ftz => |r, i, m| halves::<u32>(r, i, m, half_exp2),
        ("ex2", Type::Bf16) if ftz => |r, i, m| halves::<u16>(r, i, m, brain_exp2),
        ("ex2", Type::Bf16x2) if ftz => |r, i, m| halves::<u32>(r, i, m, brain_exp2),
        ("tanh", Type::F16) if !ftz => |r, i, m| halves::<u16>(r, i, m, half_tanh),
        ("tanh", Type::F16x2) if !ftz => |r, i, m| halves::<u32>(r, i, m, half_tanh),
        ("tanh", Type::Bf16) if !ftz => |r, i, m| halves::<u16>(r, i, m, brain_tanh),
        ("tanh", Type::Bf16x2) if !ftz => |r, i, m| halves::<u32>(r, i, m, brain_tanh),
        _ => return w.unsupported(),
    };
    emit(d, i, op, Class::Special, ty, &[ty])
}

fn divide(d: &mut Decoder, i: &Instruction, w: &mut Words, ty: Type, full: bool, ftz: bool) -> Result<()> {
    let op: LaneOp = match (ty, full, ftz) {
        (Type::F32, true, false) => |r, i, m| r.map2(i, m, |a: f32, b: f32| canonical(a / b)),
        (Type::F32, true, true) => |r, i, m| r.map2(i, m, |a: f32, b: f32| flush(canonical(flush(a) / flush(b)))),
        (Type::F32, false, false) => |r, i, m| r.map2(i, m, |a: f32, b: f32| canonical(approximate_quotient(a, b))),
        (Type::F32, false, true) => |r, i, m| r.map2(i, m, |a: f32, b: f32| flush(canonical(approximate_quotient(flush(a), flush(b))))),
        _ => return w.unsupported(),
    };
    emit(d, i, op, Class::Special, ty, &[ty, ty])
}

/// `div.approx`: above 2^126 the divisor's reciprocal counts as zero.
fn approximate_quotient(a: f32, b: f32) -> f32 {
    if b.is_finite() && b.abs() > 2f32.powi(126) { a * 0f32.copysign(b) } else { a / b }
}

/// The number without its low 32 bits.
fn upper_half(value: f64) -> f64 {
    if value.is_nan() { f64::from_bits(0x7fff_ffff_0000_0000) } else { f64::from_bits(value.to_bits() & !0xffff_ffff) }
}

fn flush_double(value: f64) -> f64 {
    if value.abs() < f64::MIN_POSITIVE { 0f64.copysign(value) } else { value }
}

/// Applies `f` to the one or two halves in each register.
fn halves<T>(r: &mut Regs, i: &Inst, m: u32, f: impl Fn(u16) -> u16) {
    if size_of::<T>() == 2 {
        r.map1(i, m, &f);
    } else {
        r.map1(i, m, |a: u32| u32::from(f(a as u16)) | u32::from(f((a >> 16) as u16)) << 16);
    }
}

fn half_of(f: impl Fn(f32) -> f32, a: u16) -> u16 {
    let value = f(f16::from_bits(a).to_f32());
    if value.is_nan() { 0x7fff } else { f16::from_f32(value).to_bits() }
}

fn brain_of(f: impl Fn(f32) -> f32, a: u16) -> u16 {
    let value = f(bf16::from_bits(a).to_f32());
    if value.is_nan() { 0x7fff } else { bf16::from_f32(value).to_bits() }
}

fn half_exp2(a: u16) -> u16 {
    half_of(f32::exp2, a)
}

fn half_tanh(a: u16) -> u16 {
    half_of(f32::tanh, a)
}

fn brain_exp2(a: u16) -> u16 {
    brain_of(|a| flush(flush(a).exp2()), a)
}

fn brain_tanh(a: u16) -> u16 {
    brain_of(f32::tanh, a)
}
