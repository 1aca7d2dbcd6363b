//! Integer arithmetic (ISA manual 9.7.1), extended-precision arithmetic (9.7.2).

use super::Result;
use super::context::Decoder;
use super::words::Words;
use crate::exec::program::{Inst, LaneOp, Op};
use crate::exec::{Lane, Regs, Row};
use crate::profile::Class;
use crate::ptx::{Instruction, Type};

/// Evaluates `$body` with `$T` standing for the integer type that `$ty` names; `None` if it names no such type.
macro_rules! for_integer {
    ($ty:expr, $T:ident => $body:expr) => {
        match $ty {
            Type::U16 | Type::B16 => {
                type $T = u16;
                Some($body)
            }
            Type::S16 => {
                type $T = i16;
                Some($body)
            }
            Type::U32 | Type::B32 => {
                type $T = u32;
                Some($body)
            }
            Type::S32 => {
                type $T = i32;
                Some($body)
            }
            Type::U64 | Type::B64 => {
                type $T = u64;
                Some($body)
            }
            Type::S64 => {
                type $T = i64;
                Some($body)
            }
            _ => None,
        }
    };
}
pub(super) use for_integer;

fn op1<T: Lane>(r: &mut Regs, i: &Inst, m: u32, f: impl Fn(T) -> T)
where
    Row<T>: bytemuck::Pod,
{
    r.map1::<T, T>(i, m, f)
}

fn op2<T: Lane>(r: &mut Regs, i: &Inst, m: u32, f: impl Fn(T, T) -> T)
where
    Row<T>: bytemuck::Pod,
{
    r.map2::<T, T, T>(i, m, f)
}

fn op3<T: Lane>(r: &mut Regs, i: &Inst, m: u32, f: impl Fn(T, T, T) -> T)
where
    Row<T>: bytemuck::Pod,
{
    r.map3::<T, T, T, T>(i, m, f)
}

/// All instructions of the family.
pub fn decode(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    let carries = w.take("cc");
    if carries || matches!(i.opcode, "addc" | "subc" | "madc") {
        return extended(d, i, w, carries);
    }
    match i.opcode {
        "mul" | "mad" => multiply(d, i, w),
        "mul24" | "mad24" => multiply24(d, i, w),
        "dp4a" | "dp2a" => dot(d, i, w),
        _ => simple(d, i, w),
    }
}

/// Emits `op` with destination and sources of the given types.
pub fn emit(d: &mut Decoder, i: &Instruction, op: LaneOp, class: Class, to: Type, from: &[Type]) -> Result<()> {
    let mut inst = Inst::new(Op::Lanes(op), class);
    if i.operands.len() != from.len() + 1 {
        return d.refuse(format!("`{}` takes {} operands, not {}", i.full_name(), from.len() + 1, i.operands.len()));
    }
    inst.d = d.destination(&i.operands[0], to)?;
    let slots = [&mut inst.a, &mut inst.b, &mut inst.c];
    for ((slot, operand), ty) in slots.into_iter().zip(&i.operands[1..]).zip(from) {
        *slot = d.source(operand, *ty)?;
    }
    d.emit(inst);
    Ok(())
}

fn simple(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    let saturate = w.take("sat");
    let ty = w.ty()?;
    let relu = w.take("relu");
    let op: Option<LaneOp> = match i.opcode {
        "add" if saturate && ty == Type::S32 => Some(|r, i, m| op2(r, i, m, i32::saturating_add)),
        "sub" if saturate && ty == Type::S32 => Some(|r, i, m| op2(r, i, m, i32::saturating_sub)),
        _ if saturate => None,
        "min" if relu && ty == Type::S32 => Some(|r, i, m| op2(r, i, m, |a: i32, b: i32| a.min(b).max(0))),
        "max" if relu && ty == Type::S32 => Some(|r, i, m| op2(r, i, m, |a: i32, b: i32| a.max(b).max(0))),
        _ if relu => None,
        "add" => for_integer!(ty, T => |r, i, m| op2(r, i, m, T::wrapping_add)),
        "sub" => for_integer!(ty, T => |r, i, m| op2(r, i, m, T::wrapping_sub)),
        "min" => for_integer!(ty, T => |r, i, m| op2(r, i, m, |a: T, b: T| a.min(b))),
        "max" => for_integer!(ty, T => |r, i, m| op2(r, i, m, |a: T, b: T| a.max(b))),
        // The manual leaves division by zero open; devices give all ones, and the dividend as remainder.
        "div" => for_integer!(ty, T => |r, i, m| op2(r, i, m, |a: T, b: T| if b == 0 { !0 } else { a.wrapping_div(b) })),
        "rem" => for_integer!(ty, T => |r, i, m| op2(r, i, m, |a: T, b: T| if b == 0 { a } else { a.wrapping_rem(b) })),
        "sad" => {
            let op: Option<LaneOp> = for_integer!(ty, T => |r, i, m| op3(r, i, m, |a: T, b: T, c: T| c.wrapping_add(a.abs_diff(b) as T)));
            return match op {
                Some(op) => emit(d, i, op, Class::Integer, ty, &[ty, ty, ty]),
                None => w.unsupported(),
            };
        }
        "abs" | "neg" => {
            let op: LaneOp = match (i.opcode, ty) {
                ("abs", Type::S16) => |r, i, m| op1(r, i, m, i16::wrapping_abs),
                ("abs", Type::S32) => |r, i, m| op1(r, i, m, i32::wrapping_abs),
                ("abs", Type::S64) => |r, i, m| op1(r, i, m, i64::wrapping_abs),
                ("neg", Type::S16) => |r, i, m| op1(r, i, m, i16::wrapping_neg),
                ("neg", Type::S32) => |r, i, m| op1(r, i, m, i32::wrapping_neg),
                ("neg", Type::S64) => |r, i, m| op1(r, i, m, i64::wrapping_neg),
                _ => return w.unsupported(),
            };
            return emit(d, i, op, Class::Integer, ty, &[ty]);
        }
        _ => None,
    };
    match op {
        Some(op) => emit(d, i, op, Class::Integer, ty, &[ty, ty]),
        None => w.unsupported(),
    }
}

/// Which half of a product is kept.
#[derive(Clone, Copy, PartialEq)]
enum Half {
    Low,
    High,
    Wide,
}

fn half(w: &mut Words) -> Result<Half> {
    w.needs("half (.lo, .hi or .wide)", |word| match word {
        "lo" => Some(Half::Low),
        "hi" => Some(Half::High),
        "wide" => Some(Half::Wide),
        _ => None,
    })
}

/// The type with twice the bits.
fn double(ty: Type) -> Option<Type> {
    Some(match ty {
        Type::U16 => Type::U32,
        Type::S16 => Type::S32,
        Type::U32 => Type::U64,
        Type::S32 => Type::S64,
        _ => return None,
    })
}

fn multiply(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    let half = half(w)?;
    let saturate = w.take("sat");
    let ty = w.ty()?;
    let mad = i.opcode == "mad";
    if saturate {
        let op: LaneOp = |r, i, m| op3(r, i, m, |a: i32, b: i32, c: i32| high_i32(a, b).saturating_add(c));
        return if mad && half == Half::High && ty == Type::S32 { emit(d, i, op, Class::Integer, ty, &[ty; 3]) } else { w.unsupported() };
    }
    let to = if half == Half::Wide { double(ty) } else { Some(ty) };
    let op: Option<LaneOp> = match (half, mad) {
        (Half::Low, false) => for_integer!(ty, T => |r, i, m| op2(r, i, m, T::wrapping_mul)),
        (Half::Low, true) => for_integer!(ty, T => |r, i, m| op3(r, i, m, |a: T, b: T, c: T| a.wrapping_mul(b).wrapping_add(c))),
        (Half::High, false) => {
            for_integer!(ty, T => |r, i, m| op2(r, i, m, |a: T, b: T| ((a as i128).wrapping_mul(b as i128) >> T::BITS) as T))
        }
        (Half::High, true) => {
            for_integer!(ty, T => |r, i, m| op3(r, i, m, |a: T, b: T, c: T| (((a as i128).wrapping_mul(b as i128) >> T::BITS) as T).wrapping_add(c)))
        }
        (Half::Wide, false) => match ty {
            Type::U16 => Some(|r, i, m| r.map2(i, m, |a: u16, b: u16| u32::from(a) * u32::from(b))),
            Type::S16 => Some(|r, i, m| r.map2(i, m, |a: i16, b: i16| i32::from(a) * i32::from(b))),
            Type::U32 => Some(|r, i, m| r.map2(i, m, |a: u32, b: u32| u64::from(a) * u64::from(b))),
            Type::S32 => Some(|r, i, m| r.map2(i, m, |a: i32, b: i32| i64::from(a) * i64::from(b))),
            _ => None,
        },
        (Half::Wide, true) => match ty {
            Type::U16 => Some(|r, i, m| r.map3(i, m, |a: u16, b: u16, c: u32| (u32::from(a) * u32::from(b)).wrapping_add(c))),
            Type::S16 => Some(|r, i, m| r.map3(i, m, |a: i16, b: i16, c: i32| (i32::from(a) * i32::from(b)).wrapping_add(c))),
            Type::U32 => Some(|r, i, m| r.map3(i, m, |a: u32, b: u32, c: u64| (u64::from(a) * u64::from(b)).wrapping_add(c))),
            Type::S32 => Some(|r, i, m| r.map3(i, m, |a: i32, b: i32, c: i64| (i64::from(a) * i64::from(b)).wrapping_add(c))),
            _ => None,
        },
    };
    match (op, to) {
        (Some(op), Some(to)) if mad => emit(d, i, op, Class::Integer, to, &[ty, ty, to]),
        (Some(op), Some(to)) => emit(d, i, op, Class::Integer, to, &[ty, ty]),
        _ => w.unsupported(),
    }
}

fn high_i32(a: i32, b: i32) -> i32 {
    ((i64::from(a) * i64::from(b)) >> 32) as i32
}

/// `mul24` and `mad24`: products of 24-bit numbers in 32-bit registers.
fn multiply24(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    fn low(a: i32) -> i64 {
        i64::from(a << 8 >> 8)
    }
    fn low_u(a: u32) -> u64 {
        u64::from(a & 0xff_ffff)
    }
    let half = half(w)?;
    let saturate = w.take("sat");
    let ty = w.ty()?;
    let op: LaneOp = match (i.opcode, half, ty, saturate) {
        ("mul24", Half::Low, Type::S32, false) => |r, i, m| op2(r, i, m, |a, b| (low(a) * low(b)) as i32),
        ("mul24", Half::High, Type::S32, false) => |r, i, m| op2(r, i, m, |a, b| ((low(a) * low(b)) >> 16) as i32),
        ("mul24", Half::Low, Type::U32, false) => |r, i, m| op2(r, i, m, |a, b| (low_u(a) * low_u(b)) as u32),
        ("mul24", Half::High, Type::U32, false) => |r, i, m| op2(r, i, m, |a, b| ((low_u(a) * low_u(b)) >> 16) as u32),
        ("mad24", Half::Low, Type::S32, false) => |r, i, m| op3(r, i, m, |a, b, c: i32| c.wrapping_add((low(a) * low(b)) as i32)),
        ("mad24", Half::High, Type::S32, false) => |r, i, m| op3(r, i, m, |a, b, c: i32| c.wrapping_add(((low(a) * low(b)) >> 16) as i32)),
        ("mad24", Half::High, Type::S32, true) => |r, i, m| op3(r, i, m, |a, b, c: i32| c.saturating_add(((low(a) * low(b)) >> 16) as i32)),
        ("mad24", Half::Low, Type::U32, false) => |r, i, m| op3(r, i, m, |a, b, c: u32| c.wrapping_add((low_u(a) * low_u(b)) as u32)),
        ("mad24", Half::High, Type::U32, false) => {
            |r, i, m| op3(r, i, m, |a, b, c: u32| c.wrapping_add(((low_u(a) * low_u(b)) >> 16) as u32))
        }
        _ => return w.unsupported(),
    };
    let sources = [ty; 3];
    emit(d, i, op, Class::Integer, ty, &sources[..if i.opcode == "mad24" { 3 } else { 2 }])
}

/// `dp4a` and `dp2a`: dot products of bytes, or of halves and bytes, added to a 32-bit number.
fn dot(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    fn byte(word: u32, at: u32, signed: bool) -> i64 {
        let byte = (word >> (8 * at)) as u8;
        if signed { i64::from(byte as i8) } else { byte.into() }
    }
    fn half(word: u32, at: u32, signed: bool) -> i64 {
        let half = (word >> (16 * at)) as u16;
        if signed { i64::from(half as i16) } else { half.into() }
    }
    const A_SIGNED: u64 = 1;
    const B_SIGNED: u64 = 2;
    const HIGH: u64 = 4;
    let high = i.opcode == "dp2a" && !w.take("lo") && w.take("hi");
    let (a, b) = (w.ty()?, w.ty()?);
    let op: LaneOp = match i.opcode {
        _ if !matches!((a, b), (Type::U32 | Type::S32, Type::U32 | Type::S32)) => return w.unsupported(),
        "dp4a" => |r, i, m| {
            let (a_signed, b_signed) = (i.imm & A_SIGNED != 0, i.imm & B_SIGNED != 0);
            r.map3(i, m, |a: u32, b: u32, c: u32| {
                (0..4).fold(c, |sum, k| sum.wrapping_add((byte(a, k, a_signed) * byte(b, k, b_signed)) as u32))
            })
        },
        _ => |r, i, m| {
            let (a_signed, b_signed, first) = (i.imm & A_SIGNED != 0, i.imm & B_SIGNED != 0, if i.imm & HIGH != 0 { 2 } else { 0 });
            r.map3(i, m, |a: u32, b: u32, c: u32| {
                (0..2).fold(c, |sum, k| sum.wrapping_add((half(a, k, a_signed) * byte(b, first + k, b_signed)) as u32))
            })
        },
    };
    emit(d, i, op, Class::Fma, Type::B32, &[Type::B32; 3])?;
    let flag = |set: bool, bit| if set { bit } else { 0 };
    let last = d.code.last_mut().expect("just emitted");
    last.imm = flag(a.is_signed(), A_SIGNED) | flag(b.is_signed(), B_SIGNED) | flag(high, HIGH);
    Ok(())
}

/// Adds `carry in`, and keeps the carry out of each lane.
fn with_carry<T: Lane>(r: &mut Regs, i: &Inst, m: u32, f: impl Fn(T, T, bool) -> (T, bool))
where
    Row<T>: bytemuck::Pod,
{
    let (a, b) = (r.get::<T>(i.a), r.get::<T>(i.b));
    let carry_in = if i.imm & 1 != 0 { r.carry } else { 0 };
    let mut carry = 0;
    let values = std::array::from_fn(|lane| {
        let (value, out) = f(a[lane], b[lane], carry_in >> lane & 1 != 0);
        carry |= u32::from(out) << lane;
        value
    });
    r.set(i.d, m, &values);
    if i.imm & 2 != 0 {
        r.carry = r.carry & !m | carry & m;
    }
}

/// `add.cc`, `addc`, `sub.cc`, `subc`, `mad.cc`, `madc`.
fn extended(d: &mut Decoder, i: &Instruction, w: &mut Words, carries_out: bool) -> Result<()> {
    macro_rules! add {
        ($T:ty) => {
            |r, i, m| {
                with_carry(r, i, m, |a: $T, b, carry| {
                    let (sum, first) = a.overflowing_add(b);
                    let (sum, second) = sum.overflowing_add(carry.into());
                    (sum, first | second)
                })
            }
        };
    }
    // The flag of a difference is the carry of a + !b + 1: NVIDIA's compiler adds it with addc.
    macro_rules! sub {
        ($T:ty) => {
            |r, i, m| {
                with_carry(r, i, m, |a: $T, b, carry| {
                    let borrow = i.imm & 1 != 0 && !carry;
                    let (difference, first) = a.overflowing_sub(b);
                    let (difference, second) = difference.overflowing_sub(borrow.into());
                    (difference, !(first | second))
                })
            }
        };
    }
    let carries_in = matches!(i.opcode, "addc" | "subc" | "madc");
    let flags = u64::from(carries_in) | u64::from(carries_out) << 1;
    let half = if matches!(i.opcode, "mad" | "madc") { Some(half(w)?) } else { None };
    let ty = w.ty()?;
    let wide = match ty {
        Type::U32 | Type::S32 | Type::B32 => false,
        Type::U64 | Type::S64 | Type::B64 => true,
        _ => return w.unsupported(),
    };
    let [to, a, b, rest @ ..] = i.operands.as_slice() else { return w.unsupported() };
    let (mut a, mut b) = (d.source(a, ty)?, d.source(b, ty)?);
    let op: LaneOp = match (i.opcode, wide) {
        ("sub" | "subc", false) => sub!(u32),
        ("sub" | "subc", true) => sub!(u64),
        (_, false) => add!(u32),
        (_, true) => add!(u64),
    };
    if let Some(half) = half {
        // A product into a new register, then an addition.
        let product = d.new_register(ty);
        let multiply: Option<LaneOp> = match half {
            Half::Low => for_integer!(ty, T => |r, i, m| op2(r, i, m, T::wrapping_mul)),
            Half::High => for_integer!(ty, T => |r, i, m| op2(r, i, m, |a: T, b: T| ((a as i128).wrapping_mul(b as i128) >> T::BITS) as T)),
            Half::Wide => None,
        };
        let (Some(multiply), [c]) = (multiply, rest) else { return w.unsupported() };
        d.emit(Inst { d: product, a, b, ..Inst::new(Op::Lanes(multiply), Class::Integer) });
        (a, b) = (product, d.source(c, ty)?);
    }
    let inst = Inst { d: d.destination(to, ty)?, a, b, imm: flags, ..Inst::new(Op::Lanes(op), Class::Integer) };
    d.emit(inst);
    Ok(())
}
