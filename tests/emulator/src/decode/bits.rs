//! Logic, shifts and bit fields (ISA manual 9.7.8, and the bit instructions of 9.7.1).

use super::Result;
use super::context::Decoder;
use super::integer::emit;
use super::words::Words;
use crate::exec::program::{Inst, LaneOp, Op};
use crate::exec::{LANES, Regs};
use crate::profile::Class;
use crate::ptx::{Instruction, Operand, Type, Value};

/// All instructions of the family.
pub fn decode(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    match i.opcode {
        "and" | "or" | "xor" | "not" | "cnot" => logic(d, i, w),
        "shl" | "shr" => shift(d, i, w),
        "shf" => funnel(d, i, w),
        "bfe" | "bfi" | "szext" | "bmsk" => fields(d, i, w),
        "bfind" | "brev" | "popc" | "clz" | "fns" => count(d, i, w),
        "prmt" => prmt(d, i, w),
        _ => lop3(d, i, w),
    }
}

fn logic(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    let ty = w.ty()?;
    if ty == Type::Pred {
        return logic_predicates(d, i, w);
    }
    macro_rules! by_size {
        (|$a:ident, $b:ident| $e:expr) => {
            match ty {
                Type::B16 => Some(|r: &mut Regs, i: &Inst, m: u32| r.map2(i, m, |$a: u16, $b: u16| $e)),
                Type::B32 => Some(|r: &mut Regs, i: &Inst, m: u32| r.map2(i, m, |$a: u32, $b: u32| $e)),
                Type::B64 => Some(|r: &mut Regs, i: &Inst, m: u32| r.map2(i, m, |$a: u64, $b: u64| $e)),
                _ => None,
            }
        };
        (|$a:ident| $e:expr) => {
            match ty {
                Type::B16 => Some(|r: &mut Regs, i: &Inst, m: u32| r.map1(i, m, |$a: u16| -> u16 { $e })),
                Type::B32 => Some(|r: &mut Regs, i: &Inst, m: u32| r.map1(i, m, |$a: u32| -> u32 { $e })),
                Type::B64 => Some(|r: &mut Regs, i: &Inst, m: u32| r.map1(i, m, |$a: u64| -> u64 { $e })),
                _ => None,
            }
        };
    }
    let op: Option<LaneOp> = match i.opcode {
        "and" => by_size!(|a, b| a & b),
        "or" => by_size!(|a, b| a | b),
        "xor" => by_size!(|a, b| a ^ b),
        "not" => by_size!(|a| !a),
        _ => by_size!(|a| (a == 0).into()),
    };
    let sources = [ty; 2];
    match op {
        Some(op) => emit(d, i, op, Class::Integer, ty, &sources[..i.operands.len().saturating_sub(1).min(2)]),
        None => w.unsupported(),
    }
}

fn logic_predicates(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    let [to, sources @ ..] = i.operands.as_slice() else { return w.unsupported() };
    let to = d.destination(to, Type::Pred)?;
    let op: LaneOp = match i.opcode {
        "and" => |r, i, m| r.set_pred(i.d, m, r.pred(i.a) & r.pred(i.b)),
        "or" => |r, i, m| r.set_pred(i.d, m, r.pred(i.a) | r.pred(i.b)),
        "xor" => |r, i, m| r.set_pred(i.d, m, r.pred(i.a) ^ r.pred(i.b)),
        "not" => |r, i, m| r.set_pred(i.d, m, !r.pred(i.a)),
        _ => return w.unsupported(),
    };
    let mut slots = Vec::new();
    for source in sources {
        match (source, d.predicate(source)) {
            (_, Ok((slot, false))) => slots.push(slot),
            // Constants true and false stand in a predicate of their own.
            (Operand::Value(Value::Integer(value)), _) => {
                let slot = d.new_register(Type::Pred);
                let set: LaneOp = |r, i, m| r.set_pred(i.d, m, i.imm as u32);
                d.emit(Inst { d: slot, imm: if *value == 0 { 0 } else { u64::MAX }, ..Inst::new(Op::Lanes(set), Class::Move) });
                slots.push(slot);
            }
            _ => return w.unsupported(),
        }
    }
    let inst = match slots[..] {
        [a] if i.opcode == "not" => Inst { d: to, a, ..Inst::new(Op::Lanes(op), Class::Integer) },
        [a, b] if i.opcode != "not" => Inst { d: to, a, b, ..Inst::new(Op::Lanes(op), Class::Integer) },
        _ => return w.unsupported(),
    };
    d.emit(inst);
    Ok(())
}

/// `shl` and `shr`: amounts beyond the width shift everything out.
fn shift(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    let ty = w.ty()?;
    let op: LaneOp = match (i.opcode, ty) {
        ("shl", Type::B16) => |r, i, m| r.map2(i, m, |a: u16, b: u32| if b > 15 { 0 } else { a << b }),
        ("shl", Type::B32) => |r, i, m| r.map2(i, m, |a: u32, b: u32| if b > 31 { 0 } else { a << b }),
        ("shl", Type::B64) => |r, i, m| r.map2(i, m, |a: u64, b: u32| if b > 63 { 0 } else { a << b }),
        ("shr", Type::B16 | Type::U16) => |r, i, m| r.map2(i, m, |a: u16, b: u32| if b > 15 { 0 } else { a >> b }),
        ("shr", Type::B32 | Type::U32) => |r, i, m| r.map2(i, m, |a: u32, b: u32| if b > 31 { 0 } else { a >> b }),
        ("shr", Type::B64 | Type::U64) => |r, i, m| r.map2(i, m, |a: u64, b: u32| if b > 63 { 0 } else { a >> b }),
        ("shr", Type::S16) => |r, i, m| r.map2(i, m, |a: i16, b: u32| a >> b.min(15)),
        ("shr", Type::S32) => |r, i, m| r.map2(i, m, |a: i32, b: u32| a >> b.min(31)),
        ("shr", Type::S64) => |r, i, m| r.map2(i, m, |a: i64, b: u32| a >> b.min(63)),
        _ => return w.unsupported(),
    };
    emit(d, i, op, Class::Integer, ty, &[ty, Type::U32])
}

/// `shf`: 32 bits out of 64, shifted by up to 32.
fn funnel(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    fn both(low: u32, high: u32) -> u64 {
        u64::from(high) << 32 | u64::from(low)
    }
    let (left, wrap) = (w.take("l"), w.take("wrap"));
    if left == w.take("r") || wrap == w.take("clamp") || w.ty()? != Type::B32 {
        return w.unsupported();
    }
    let op: LaneOp = match (left, wrap) {
        (true, true) => |r, i, m| r.map3(i, m, |a: u32, b: u32, c: u32| (both(a, b) << (c & 31) >> 32) as u32),
        (true, false) => |r, i, m| r.map3(i, m, |a: u32, b: u32, c: u32| (both(a, b) << c.min(32) >> 32) as u32),
        (false, true) => |r, i, m| r.map3(i, m, |a: u32, b: u32, c: u32| (both(a, b) >> (c & 31)) as u32),
        (false, false) => |r, i, m| r.map3(i, m, |a: u32, b: u32, c: u32| (both(a, b) >> c.min(32)) as u32),
    };
    emit(d, i, op, Class::Integer, Type::B32, &[Type::B32; 3])
}

/// The lowest `count` bits set.
fn ones(count: u32) -> u64 {
    if count > 63 { u64::MAX } else { (1 << count) - 1 }
}

/// Extracts `count` bits from bit `from`.
fn extract(value: u64, from: u32, count: u32) -> u64 {
    let (from, count) = (from & 0xff, count & 0xff);
    if from > 63 { 0 } else { value >> from & ones(count) }
}

/// Extracts a signed field of `count` bits from bit `from`; beyond the number it is filled with the sign.
fn extract_signed(value: i64, from: u32, count: u32) -> i64 {
    let (from, count) = (from & 0xff, count & 0xff);
    let spare = 64 - count.clamp(1, 64);
    if count == 0 { 0 } else { value >> from.min(63) << spare >> spare }
}

/// Puts the low `count` bits of `a` into `b` at bit `from`.
fn insert(a: u64, b: u64, width: u32, from: u32, count: u32) -> u64 {
    let (from, count) = (from & 0xff, count & 0xff);
    let field = if from >= width { 0 } else { ones(count) << from & ones(width) };
    b & !field | if from >= width { 0 } else { a << from & field }
}

fn fields(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    let clamp = w.take("clamp");
    let wrap = w.take("wrap");
    let ty = w.ty()?;
    let number = Type::U32;
    let (op, sources): (LaneOp, Vec<Type>) = match (i.opcode, ty) {
        ("bfe", Type::U32) => (|r, i, m| r.map3(i, m, |a: u32, b, c| extract(a.into(), b, c) as u32), vec![ty, number, number]),
        ("bfe", Type::S32) => (|r, i, m| r.map3(i, m, |a: i32, b, c| extract_signed(a.into(), b, c) as u32), vec![ty, number, number]),
        ("bfe", Type::U64) => (|r, i, m| r.map3(i, m, |a: u64, b, c| extract(a, b, c)), vec![ty, number, number]),
        ("bfe", Type::S64) => (|r, i, m| r.map3(i, m, |a: i64, b, c| extract_signed(a, b, c)), vec![ty, number, number]),
        ("bfi", Type::B32 | Type::B64) => return bfi(d, i, w, ty),
        ("szext", Type::U32 | Type::S32) if clamp != wrap => {
            let op: LaneOp = match (ty, wrap) {
                (Type::U32, true) => |r, i, m| r.map2(i, m, |a: u32, b: u32| extract(a.into(), 0, b & 31) as u32),
                (Type::U32, false) => |r, i, m| r.map2(i, m, |a: u32, b: u32| extract(a.into(), 0, b.min(32)) as u32),
                (_, true) => |r, i, m| r.map2(i, m, |a: i32, b: u32| extract_signed(a.into(), 0, b & 31) as u32),
                (_, false) => |r, i, m| r.map2(i, m, |a: i32, b: u32| extract_signed(a.into(), 0, b.min(32)) as u32),
            };
            (op, vec![ty, number])
        }
        ("bmsk", Type::B32) if clamp != wrap => {
            let op: LaneOp = if wrap {
                |r, i, m| r.map2(i, m, |a: u32, b: u32| insert(u64::MAX, 0, 32, a & 31, b & 31) as u32)
            } else {
                |r, i, m| r.map2(i, m, |a: u32, b: u32| insert(u64::MAX, 0, 32, a.min(32), b.min(32)) as u32)
            };
            (op, vec![number, number])
        }
        _ => return w.unsupported(),
    };
    emit(d, i, op, Class::Integer, ty, &sources)
}

fn bfi(d: &mut Decoder, i: &Instruction, w: &mut Words, ty: Type) -> Result<()> {
    let op: LaneOp = |r, i, m| {
        let bytes = i.imm as usize;
        let (a, b) = (r.get_wide(i.a, bytes), r.get_wide(i.b, bytes));
        let (from, count) = (r.get::<u32>(i.c), r.get::<u32>(i.more[0]));
        let values = std::array::from_fn(|lane| insert(a[lane], b[lane], 8 * bytes as u32, from[lane], count[lane]));
        r.set_wide(i.d, m, bytes, &values);
    };
    let [to, a, b, from, count] = i.operands.as_slice() else { return w.unsupported() };
    let inst = Inst {
        d: d.destination(to, ty)?,
        a: d.source(a, ty)?,
        b: d.source(b, ty)?,
        c: d.source(from, Type::U32)?,
        more: [d.source(count, Type::U32)?].into(),
        imm: ty.bytes() as u64,
        ..Inst::new(Op::Lanes(op), Class::Integer)
    };
    d.emit(inst);
    Ok(())
}

/// The highest bit that differs from the sign.
fn find(value: u64) -> u32 {
    if value == 0 { u32::MAX } else { 63 - value.leading_zeros() }
}

fn count(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    let amount = w.take("shiftamt");
    let ty = w.ty()?;
    let to = if i.opcode == "brev" { ty } else { Type::U32 };
    fn found(value: u64, width: u32, amount: bool) -> u32 {
        let at = find(value);
        if amount && at != u32::MAX { width - 1 - at } else { at }
    }
    let op: LaneOp = match (i.opcode, ty) {
        ("popc", Type::B32) => |r, i, m| r.map1(i, m, |a: u32| a.count_ones()),
        ("popc", Type::B64) => |r, i, m| r.map1(i, m, |a: u64| a.count_ones()),
        ("clz", Type::B32) => |r, i, m| r.map1(i, m, |a: u32| a.leading_zeros()),
        ("clz", Type::B64) => |r, i, m| r.map1(i, m, |a: u64| a.leading_zeros()),
        ("brev", Type::B32) => |r, i, m| r.map1(i, m, |a: u32| a.reverse_bits()),
        ("brev", Type::B64) => |r, i, m| r.map1(i, m, |a: u64| a.reverse_bits()),
        ("bfind", Type::U32) => |r, i, m| r.map1(i, m, |a: u32| found(a.into(), 32, i.variant == 1)),
        ("bfind", Type::U64) => |r, i, m| r.map1(i, m, |a: u64| found(a, 64, i.variant == 1)),
        ("bfind", Type::S32) => |r, i, m| r.map1(i, m, |a: i32| found(((a ^ (a >> 31)) as u32).into(), 32, i.variant == 1)),
        ("bfind", Type::S64) => |r, i, m| r.map1(i, m, |a: i64| found((a ^ (a >> 63)) as u64, 64, i.variant == 1)),
        ("fns", Type::B32) => {
            let op: LaneOp = |r, i, m| r.map3(i, m, find_nth);
            return emit(d, i, op, Class::Integer, Type::B32, &[Type::B32, Type::B32, Type::S32]);
        }
        _ => return w.unsupported(),
    };
    emit(d, i, op, Class::Integer, to, &[ty])?;
    d.code.last_mut().expect("just emitted").variant = amount.into();
    Ok(())
}

/// `fns`: the n-th set bit from `base` upwards (downwards for a negative n).
fn find_nth(mask: u32, base: u32, n: i32) -> u32 {
    let set = |at: &u32| mask >> at & 1 != 0;
    let found = match n {
        _ if base > 31 => None,
        0 => Some(base).filter(|at| set(at)),
        1.. => (base..32).filter(set).nth(n as usize - 1),
        _ => (0..=base).rev().filter(set).nth(n.unsigned_abs() as usize - 1),
    };
    found.unwrap_or(u32::MAX)
}

/// `prmt`: picks four bytes out of eight.
fn prmt(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    fn pick(bytes: u64, selectors: [u32; 4]) -> u32 {
        (0..4).fold(0, |all, k| {
            let byte = (bytes >> (8 * (selectors[k] & 7))) as u8;
            let byte = if selectors[k] & 8 != 0 { (byte as i8 >> 7) as u8 } else { byte };
            all | u32::from(byte) << (8 * k)
        })
    }
    fn both(a: u32, b: u32) -> u64 {
        u64::from(b) << 32 | u64::from(a)
    }
    let mode = w.choice(|word| ["f4e", "b4e", "rc8", "ecl", "ecr", "rc16"].iter().position(|mode| *mode == word));
    if w.ty()? != Type::B32 {
        return w.unsupported();
    }
    let op: LaneOp = match mode {
        None => |r, i, m| {
            r.map3(i, m, |a: u32, b: u32, c: u32| pick(both(a, b), [c & 15, c >> 4 & 15, c >> 8 & 15, c >> 12 & 15]));
        },
        Some(0) => |r, i, m| r.map3(i, m, |a: u32, b: u32, c: u32| pick(both(a, b), [0, 1, 2, 3].map(|k| (c & 3) + k))),
        Some(1) => |r, i, m| r.map3(i, m, |a: u32, b: u32, c: u32| pick(both(a, b), [0, 7, 6, 5].map(|k| ((c & 3) + k) & 7))),
        Some(2) => |r, i, m| r.map3(i, m, |a: u32, b: u32, c: u32| pick(both(a, b), [c & 3; 4])),
        Some(3) => |r, i, m| r.map3(i, m, |a: u32, b: u32, c: u32| pick(both(a, b), [0, 1, 2, 3].map(|k: u32| k.max(c & 3)))),
        Some(4) => |r, i, m| r.map3(i, m, |a: u32, b: u32, c: u32| pick(both(a, b), [0, 1, 2, 3].map(|k: u32| k.min(c & 3)))),
        Some(_) => |r, i, m| r.map3(i, m, |a: u32, b: u32, c: u32| pick(both(a, b), [0, 1, 0, 1].map(|k| 2 * (c & 1) + k))),
    };
    emit(d, i, op, Class::Integer, Type::B32, &[Type::B32; 3])
}

/// `lop3`: any logical function of three operands; the immediate is its truth table.
fn lop3(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    let [to, a, b, c, Operand::Value(Value::Integer(table))] = i.operands.as_slice() else { return w.unsupported() };
    if w.ty()? != Type::B32 || *table > 255 {
        return w.unsupported();
    }
    let op: LaneOp = |r, i, m| {
        let (a, b, c) = (r.get::<u32>(i.a), r.get::<u32>(i.b), r.get::<u32>(i.c));
        let mut values = [0; LANES];
        for row in (0..8).filter(|row| i.imm >> row & 1 != 0) {
            let [x, y, z] = [4, 2, 1].map(|bit| if row & bit != 0 { 0 } else { u32::MAX });
            values = std::array::from_fn(|lane| values[lane] | (a[lane] ^ x) & (b[lane] ^ y) & (c[lane] ^ z));
        }
        r.set(i.d, m, &values);
    };
    let inst = Inst {
        d: d.destination(to, Type::B32)?,
        a: d.source(a, Type::B32)?,
        b: d.source(b, Type::B32)?,
        c: d.source(c, Type::B32)?,
        imm: *table,
        ..Inst::new(Op::Lanes(op), Class::Integer)
    };
    d.emit(inst);
    Ok(())
}
