//! `mov`, `cvta`, `isspacep` (ISA manual 9.7.9.2, 9.7.9.20, 9.7.9.19), and clocks.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::Result;
use super::context::{Decoder, window};
use super::words::Words;
use crate::exec::program::{Inst, LaneOp, Op};
use crate::exec::{LANES, Regs, WINDOW_BYTES};
use crate::profile::Class;
use crate::ptx::{Instruction, Operand, Space, Type};

/// A copy of registers of `bytes` bytes.
pub fn copy_op(bytes: usize) -> LaneOp {
    match bytes {
        1 => |r, i, m| r.map1::<u8, u8>(i, m, |a| a),
        2 => |r, i, m| r.map1::<u16, u16>(i, m, |a| a),
        4 => |r, i, m| r.map1::<u32, u32>(i, m, |a| a),
        8 => |r, i, m| r.map1::<u64, u64>(i, m, |a| a),
        _ => |r, i, m| r.map1::<[u64; 2], [u64; 2]>(i, m, |a| a),
    }
}

/// `mov`.
pub fn mov(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    let ty = w.ty()?;
    let [to, from] = i.operands.as_slice() else { return w.unsupported() };
    match (to, from) {
        _ if ty == Type::Pred => mov_predicate(d, to, from),
        (_, Operand::Vector(parts)) => pack(d, to, parts, ty),
        (Operand::Vector(parts), _) => unpack(d, parts, from, ty),
        _ => {
            let inst = Inst { d: d.destination(to, ty)?, a: d.source(from, ty)?, ..Inst::new(Op::Lanes(copy_op(ty.bytes())), Class::Move) };
            d.emit(inst);
            Ok(())
        }
    }
}

fn mov_predicate(d: &mut Decoder, to: &Operand, from: &Operand) -> Result<()> {
    let to = d.destination(to, Type::Pred)?;
    let inst = match from {
        Operand::Value(crate::ptx::Value::Integer(value)) => {
            let op: LaneOp = |r, i, m| r.set_pred(i.d, m, i.imm as u32);
            Inst { d: to, imm: if *value == 0 { 0 } else { u64::MAX }, ..Inst::new(Op::Lanes(op), Class::Move) }
        }
        _ => {
            let (from, negated) = d.predicate(from)?;
            let op: LaneOp = |r, i, m| r.set_pred(i.d, m, r.pred(i.a) ^ i.imm as u32);
            Inst { d: to, a: from, imm: if negated { u64::MAX } else { 0 }, ..Inst::new(Op::Lanes(op), Class::Move) }
        }
    };
    d.emit(inst);
    Ok(())
}

/// The type of the parts of a value of type `ty`.
fn part_type(d: &Decoder, ty: Type, parts: usize) -> Result<Type> {
    match ty.bytes() / parts.max(1) {
        1 if parts == ty.bytes() => Ok(Type::B8),
        2 if parts * 2 == ty.bytes() => Ok(Type::B16),
        4 if parts * 4 == ty.bytes() => Ok(Type::B32),
        8 if parts == 2 => Ok(Type::B64),
        _ => d.refuse(format!("mov: {ty:?} has no {parts} equal parts")),
    }
}

fn pack(d: &mut Decoder, to: &Operand, parts: &[Operand], ty: Type) -> Result<()> {
    let part = part_type(d, ty, parts.len())?;
    let more = parts.iter().map(|operand| d.source(operand, part)).collect::<Result<_>>()?;
    let op: LaneOp = match (ty.bytes(), parts.len()) {
        (16, 2) => |r, i, m| {
            let (low, high) = (r.get::<u64>(i.more[0]), r.get::<u64>(i.more[1]));
            let values = std::array::from_fn(|lane| [low[lane], high[lane]]);
            r.set(i.d, m, &values);
        },
        (16, _) => return d.refuse("mov.b128: only two parts are supported"),
        _ => |r, i, m| {
            let bytes = i.imm as usize;
            let part = bytes / i.more.len();
            let mut values = [0; LANES];
            for (k, &slot) in i.more.iter().enumerate() {
                let row = r.get_wide(slot, part);
                values = std::array::from_fn(|lane| values[lane] | row[lane] << (8 * part * k));
            }
            r.set_wide(i.d, m, bytes, &values);
        },
    };
    let inst = Inst { d: d.destination(to, ty)?, more, imm: ty.bytes() as u64, ..Inst::new(Op::Lanes(op), Class::Move) };
    d.emit(inst);
    Ok(())
}

fn unpack(d: &mut Decoder, parts: &[Operand], from: &Operand, ty: Type) -> Result<()> {
    let part = part_type(d, ty, parts.len())?;
    let more = parts.iter().map(|operand| d.destination(operand, part)).collect::<Result<_>>()?;
    let op: LaneOp = match (ty.bytes(), parts.len()) {
        (16, 2) => |r, i, m| {
            let row = *r.get::<[u64; 2]>(i.a);
            (0..2).for_each(|k| r.set(i.more[k], m, &row.map(|value| value[k])));
        },
        (16, _) => return d.refuse("mov.b128: only two parts are supported"),
        _ => |r, i, m| {
            let bytes = i.imm as usize;
            let part = bytes / i.more.len();
            let row = r.get_wide(i.a, bytes);
            for (k, &slot) in i.more.iter().enumerate() {
                r.set_wide(slot, m, part, &row.map(|value| value >> (8 * part * k)));
            }
        },
    };
    let inst = Inst { a: d.source(from, ty)?, more, imm: ty.bytes() as u64, ..Inst::new(Op::Lanes(op), Class::Move) };
    d.emit(inst);
    Ok(())
}

/// `cvta` and `cvta.to`: generic addresses are addresses of a space plus its window.
pub fn cvta(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    let to_space = w.take("to");
    let mut space = w.needs("space", Space::from_name)?;
    let ty = w.ty()?;
    let [to, from] = i.operands.as_slice() else { return w.unsupported() };
    if space == Space::Param && !d.in_kernel() {
        space = Space::Local;
    }
    let base = if to_space { window(space).wrapping_neg() } else { window(space) };
    let op: LaneOp = match ty.bytes() {
        8 => |r, i, m| r.map1::<u64, u64>(i, m, |a| a.wrapping_add(i.imm)),
        _ => return d.refuse("cvta: generic addresses have 64 bits"),
    };
    let inst = Inst { d: d.destination(to, ty)?, a: d.source(from, ty)?, imm: base, ..Inst::new(Op::Lanes(op), Class::Integer) };
    d.emit(inst);
    Ok(())
}

/// `isspacep`.
pub fn isspacep(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    let space = w.needs("space", Space::from_name)?;
    let [to, from] = i.operands.as_slice() else { return w.unsupported() };
    let op: LaneOp = match space {
        Space::Shared | Space::Local | Space::Param => |r, i, m| {
            let row = r.get::<u64>(i.a);
            let inside = (0..LANES).fold(0, |mask, lane| mask | u32::from(row[lane] & !(WINDOW_BYTES - 1) == i.imm) << lane);
            r.set_pred(i.d, m, inside);
        },
        Space::Global => |r, i, m| {
            let row = r.get::<u64>(i.a);
            let inside = (0..LANES).fold(0, |mask, lane| mask | u32::from(row[lane] >= crate::exec::FUNCTION_WINDOW) << lane);
            r.set_pred(i.d, m, inside);
        },
        Space::Const | Space::Generic => return w.unsupported(),
    };
    let inst = Inst {
        d: d.destination(to, Type::Pred)?,
        a: d.source(from, Type::B64)?,
        imm: window(space),
        ..Inst::new(Op::Lanes(op), Class::Integer)
    };
    d.emit(inst);
    Ok(())
}

/// Reads a clock into a new register: nanoseconds stand for cycles.
pub fn clock(d: &mut Decoder, name: &str, bytes: usize) -> Result<u32> {
    let wide = matches!(name, "%clock64" | "%globaltimer");
    if bytes != if wide { 8 } else { 4 } {
        return d.refuse(format!("special register `{name}` has {} bits", if wide { 64 } else { 32 }));
    }
    let slot = d.new_register(if wide { Type::B64 } else { Type::B32 });
    let shift = if name.ends_with("_hi") { 32 } else { 0 };
    let op: LaneOp = if name.starts_with("%globaltimer") {
        |r, i, m| write_time(r, i, m, SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64))
    } else {
        |r, i, m| write_time(r, i, m, cycles())
    };
    d.emit(Inst { d: slot, imm: shift, a: bytes as u32, ..Inst::new(Op::Lanes(op), Class::Special) });
    Ok(slot)
}

fn cycles() -> u64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

fn write_time(regs: &mut Regs, inst: &Inst, mask: u32, time: u64) {
    regs.set_wide(inst.d, mask, inst.a as usize, &[time >> inst.imm; LANES]);
}
