//! Arithmetic on pairs of halves (ISA manual 9.7.4): `f16x2` and `bf16x2`.

use half::{bf16, f16};

use super::Result;
use super::context::Decoder;
use super::float::{Float, choice_flags, choose};
use super::integer::emit;
use super::words::Words;
use crate::exact::{self, Round};
use crate::exec::Regs;
use crate::exec::program::{Inst, LaneOp};
use crate::profile::Class;
use crate::ptx::{Instruction, Type};

/// Clamp to [0, 1].
const SAT: u64 = 1;
/// Negative results become zero.
const RELU: u64 = 2;
/// Flush subnormal numbers to zero.
const FTZ: u64 = 4;

/// A half-precision type.
trait Half: Float<Bits = u16> {}
impl Half for f16 {}
impl Half for bf16 {}

/// Applies `f` to the low and to the high halves.
fn pairs<T: Half, const N: usize>(words: [u32; N], f: impl Fn([f64; N]) -> f64) -> u32 {
    let half = |shift: u32| u32::from(T::bits(f(words.map(|word| T::value((word >> shift) as u16))))) << shift;
    half(0) | half(16)
}

/// Applies `f` with the flags of an arithmetic instruction.
fn flagged<T: Half, const N: usize>(words: [u32; N], flags: u64, f: impl Fn([f64; N]) -> f64) -> u32 {
    let flush = |value: f64| {
        let tiny = flags & FTZ != 0 && value.abs() < 2f64.powi(T::FORMAT.least);
        if tiny { 0f64.copysign(value) } else { value }
    };
    pairs::<T, N>(words, |values| {
        let value = f(values.map(flush));
        flush(match flags & !FTZ {
            SAT if value > 0.0 => value.min(1.0),
            SAT => 0.0,
            RELU if value <= 0.0 => 0.0,
            _ => value,
        })
    })
}

fn row2<T: Half>(r: &mut Regs, i: &Inst, m: u32, f: impl Fn(f64, f64) -> f64) {
    r.map2(i, m, |a: u32, b: u32| flagged::<T, 2>([a, b], i.imm, |[a, b]| f(a, b)));
}

fn arithmetic<T: Half + 'static>(opcode: &str) -> LaneOp {
    match opcode {
        "add" => |r, i, m| row2::<T>(r, i, m, |a, b| exact::add(a, b, T::FORMAT, Round::Nearest)),
        "sub" => |r, i, m| row2::<T>(r, i, m, |a, b| exact::add(a, -b, T::FORMAT, Round::Nearest)),
        "mul" => |r, i, m| row2::<T>(r, i, m, |a, b| exact::mul(a, b, T::FORMAT, Round::Nearest)),
        _ => |r, i, m| {
            let f = |[a, b, c]: [f64; 3]| exact::fma(a, b, c, T::FORMAT, Round::Nearest);
            r.map3(i, m, |a: u32, b: u32, c: u32| flagged::<T, 3>([a, b, c], i.imm, f));
        },
    }
}

fn extreme<T: Half + 'static>(larger: bool) -> LaneOp {
    if larger {
        |r, i, m| r.map2(i, m, |a: u32, b: u32| pairs::<T, 2>([a, b], |[a, b]| choose(a, b, true, i.imm)))
    } else {
        |r, i, m| r.map2(i, m, |a: u32, b: u32| pairs::<T, 2>([a, b], |[a, b]| choose(a, b, false, i.imm)))
    }
}

/// All instructions of the family.
pub fn decode(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    w.ignore(&["rn"]);
    let extremes = matches!(i.opcode, "min" | "max");
    let flags = if extremes {
        choice_flags(w)
    } else {
        [("sat", SAT), ("relu", RELU), ("ftz", FTZ)].iter().fold(0, |flags, (word, flag)| flags | if w.take(word) { *flag } else { 0 })
    };
    let ty = w.ty()?;
    let half = ty == Type::F16x2;
    let (op, operands, class): (LaneOp, usize, Class) = match i.opcode {
        "add" | "sub" | "mul" if half => (arithmetic::<f16>(i.opcode), 2, Class::Float),
        "add" | "sub" | "mul" => (arithmetic::<bf16>(i.opcode), 2, Class::Float),
        "fma" if half => (arithmetic::<f16>("fma"), 3, Class::Fma),
        "fma" => (arithmetic::<bf16>("fma"), 3, Class::Fma),
        "min" | "max" if half => (extreme::<f16>(i.opcode == "max"), 2, Class::Float),
        "min" | "max" => (extreme::<bf16>(i.opcode == "max"), 2, Class::Float),
        "abs" => (|r, i, m| r.map1(i, m, |a: u32| a & 0x7fff_7fff), 1, Class::Float),
        "neg" => (|r, i, m| r.map1(i, m, |a: u32| a ^ 0x8000_8000), 1, Class::Float),
        _ => return w.unsupported(),
    };
    let sources = [ty; 3];
    emit(d, i, op, class, ty, &sources[..operands])?;
    d.code.last_mut().expect("just emitted").imm = flags;
    Ok(())
}
