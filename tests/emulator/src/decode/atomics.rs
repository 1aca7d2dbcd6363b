//! `atom` and `red` (ISA manual 9.7.12.4, 9.7.12.5).

use half::{bf16, f16};

use super::float::{Float, flush};
use super::memory::address;
use super::words::Words;
use super::{Result, space_of};
use crate::exact::{self, Round};
use crate::exec::program::{AccessOp, Inst, Op};
use crate::profile::Class;
use crate::ptx::{Instruction, Type};

use super::context::Decoder;

/// `atom` and `red`.
pub fn decode(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    let relaxed = i.opcode == "red" || w.has("relaxed");
    if w.take("L2::cache_hint") || w.has("v2") || w.has("v4") {
        return w.unsupported();
    }
    w.ignore(&["relaxed", "acquire", "release", "acq_rel", "cta", "cluster", "gpu", "sys", "noftz"]);
    let space = space_of(w);
    let names = ["and", "or", "xor", "cas", "exch", "add", "inc", "dec", "min", "max"];
    let name = w.needs("operation", |word| names.iter().copied().find(|name| *name == word))?;
    let ty = w.ty()?;
    let Some(op) = operation(name, ty) else { return w.unsupported() };
    let (to, operands) = match (i.opcode, i.operands.as_slice()) {
        ("atom", [to, operands @ ..]) => (Some(to), operands),
        (_, operands) => (None, operands),
    };
    let mut inst = Inst::new(Op::Access(op), Class::Atomic);
    let (memory, b, c) = match (operands, name) {
        ([memory, b], _) if name != "cas" => (memory, b, b),
        ([memory, b, c], "cas") => (memory, b, c),
        _ => return w.unsupported(),
    };
    address(d, memory, space, &mut inst)?;
    inst.class = Class::Atomic;
    (inst.b, inst.c) = (d.source(b, ty)?, d.source(c, ty)?);
    inst.d = match to {
        None | Some(crate::ptx::Operand::Name("_")) => Inst::UNUSED,
        Some(to) => d.destination(to, ty)?,
    };
    inst.variant = if relaxed { 0 } else { Inst::VOLATILE };
    d.note_access(inst.space, ty.bytes());
    d.emit(inst);
    Ok(())
}

/// A sum in a half-precision format.
fn half_sum<T: Float<Bits = u16>>(a: u16, b: u16) -> u16 {
    T::bits(exact::add(T::value(a), T::value(b), T::FORMAT, Round::Nearest))
}

fn pair(f: impl Fn(u16, u16) -> u16, a: u32, b: u32) -> u32 {
    u32::from(f(a as u16, b as u16)) | u32::from(f((a >> 16) as u16, (b >> 16) as u16)) << 16
}

/// Sums of singles in global memory flush subnormal numbers.
fn single_sum(global: bool, a: u32, b: u32) -> u32 {
    let (a, b) = (f32::from_bits(a), f32::from_bits(b));
    (if global { flush(flush(a) + flush(b)) } else { a + b }).to_bits()
}

fn operation(name: &str, ty: Type) -> Option<AccessOp> {
    use Type::*;
    /// An operation on words of type `$T`.
    macro_rules! on {
        ($T:ty, |$old:ident, $b:ident| $e:expr) => {
            Some(|x, i, m| x.atomic::<$T>(i, m, |_, $old, $b, _| $e))
        };
    }
    match (name, ty) {
        ("cas", B16) => Some(|x, i, m| x.atomic::<u16>(i, m, |_, old, b, c| if old == b { c } else { old })),
        ("cas", B32 | U32 | S32) => Some(|x, i, m| x.atomic::<u32>(i, m, |_, old, b, c| if old == b { c } else { old })),
        ("cas", B64 | U64 | S64) => Some(|x, i, m| x.atomic::<u64>(i, m, |_, old, b, c| if old == b { c } else { old })),
        ("exch", B32 | U32 | S32 | F32) => on!(u32, |_old, b| b),
        ("exch", B64 | U64 | S64 | F64) => on!(u64, |_old, b| b),
        ("and", B32) => on!(u32, |old, b| old & b),
        ("and", B64) => on!(u64, |old, b| old & b),
        ("or", B32) => on!(u32, |old, b| old | b),
        ("or", B64) => on!(u64, |old, b| old | b),
        ("xor", B32) => on!(u32, |old, b| old ^ b),
        ("xor", B64) => on!(u64, |old, b| old ^ b),
        ("add", U32 | S32) => on!(u32, |old, b| old.wrapping_add(b)),
        ("add", U64 | S64) => on!(u64, |old, b| old.wrapping_add(b)),
        ("add", F32) => Some(|x, i, m| x.atomic::<u32>(i, m, |global, old, b, _| single_sum(global, old, b))),
        ("add", F64) => on!(u64, |old, b| (f64::from_bits(old) + f64::from_bits(b)).to_bits()),
        ("add", F16) => on!(u16, |old, b| half_sum::<f16>(old, b)),
        ("add", Bf16) => on!(u16, |old, b| half_sum::<bf16>(old, b)),
        ("add", F16x2) => on!(u32, |old, b| pair(half_sum::<f16>, old, b)),
        ("add", Bf16x2) => on!(u32, |old, b| pair(half_sum::<bf16>, old, b)),
        ("inc", U32) => on!(u32, |old, b| if old >= b { 0 } else { old + 1 }),
        ("dec", U32) => on!(u32, |old, b| if old == 0 || old > b { b } else { old - 1 }),
        ("min", U32) => on!(u32, |old, b| old.min(b)),
        ("min", S32) => on!(u32, |old, b| (old as i32).min(b as i32) as u32),
        ("min", U64) => on!(u64, |old, b| old.min(b)),
        ("min", S64) => on!(u64, |old, b| (old as i64).min(b as i64) as u64),
        ("max", U32) => on!(u32, |old, b| old.max(b)),
        ("max", S32) => on!(u32, |old, b| (old as i32).max(b as i32) as u32),
        ("max", U64) => on!(u64, |old, b| old.max(b)),
        ("max", S64) => on!(u64, |old, b| (old as i64).max(b as i64) as u64),
        _ => None,
    }
}
