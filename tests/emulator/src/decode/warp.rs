//! Exchange between the lanes of a warp (ISA manual 9.7.9.5, 9.7.12): `shfl`, `vote`, `match`, `activemask`, `redux`, `elect`.

use super::Result;
use super::context::Decoder;
use super::words::Words;
use crate::exec::program::{AccessOp, Inst, Op};
use crate::exec::{Exec, LANES, Outcome, lanes};
use crate::profile::Class;
use crate::ptx::{Instruction, Operand, Type};

/// Negate the predicate of a vote.
const NEGATED: u64 = 1;

/// All instructions of the family.
pub fn decode(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    match i.opcode {
        "shfl" => shuffle(d, i, w),
        "vote" => vote(d, i, w),
        "match" => find_matches(d, i, w),
        "redux" => reduce(d, i, w),
        "elect" => elect(d, i, w),
        _ => active_mask(d, i, w),
    }
}

/// An instruction for the lanes of a member mask, or (in its old form without `.sync`) for those that are active.
fn collective(d: &mut Decoder, op: AccessOp, members: Option<&Operand>) -> Result<Inst> {
    Ok(match members {
        Some(members) => Inst { c: d.source(members, Type::B32)?, ..Inst::new(Op::Together(op), Class::Warp) },
        None => Inst::new(Op::Access(op), Class::Warp),
    })
}

/// The parts of an operand `d|p`.
fn pair<'s>(operand: &Operand<'s>) -> (Operand<'s>, Option<Operand<'s>>) {
    match operand {
        Operand::Pair(first, second) => (Operand::Name(first), Some(Operand::Name(second))),
        other => (other.clone(), None),
    }
}

fn shuffle(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    let sync = w.take("sync");
    let mode = w.needs("mode", |word| ["up", "down", "bfly", "idx"].iter().position(|mode| *mode == word))?;
    if w.ty()? != Type::B32 || i.operands.len() != if sync { 5 } else { 4 } {
        return w.unsupported();
    }
    let inst = collective(d, exchange, i.operands.get(4))?;
    let (to, valid) = pair(&i.operands[0]);
    let valid = valid.map(|valid| d.destination(&valid, Type::Pred)).transpose()?.unwrap_or(Inst::UNUSED);
    let inst = Inst {
        d: d.destination(&to, Type::B32)?,
        a: d.source(&i.operands[1], Type::B32)?,
        b: d.source(&i.operands[2], Type::B32)?,
        more: [valid, d.source(&i.operands[3], Type::B32)?].into(),
        variant: mode as u8,
        ..inst
    };
    d.emit(inst);
    Ok(())
}

/// Each lane reads another lane's register; where that lane takes no part, the value is not defined, and the lane's own is taken.
fn exchange(x: &mut Exec, i: &Inst, mask: u32) -> Outcome<()> {
    let r = &mut x.warp.regs;
    let (a, b, bounds) = (r.get::<u32>(i.a), r.get::<u32>(i.b), r.get::<u32>(i.more[1]));
    let (mut values, mut valid) = ([0; LANES], 0);
    for lane in 0..LANES {
        let (b, clamp, segment) = (b[lane] & 31, bounds[lane] & 31, bounds[lane] >> 8 & 31);
        let lane_id = lane as u32;
        let least = lane_id & segment;
        let most = least | clamp & !segment;
        let from = match i.variant {
            0 => lane_id.wrapping_sub(b),
            1 => lane_id + b,
            2 => lane_id ^ b,
            _ => least | b & !segment,
        };
        let inside = if i.variant == 0 { from as i32 >= most as i32 } else { from <= most };
        valid |= u32::from(inside) << lane;
        let from = if inside && mask >> (from & 31) & 1 != 0 { from as usize & 31 } else { lane };
        values[lane] = a[from];
    }
    r.set(i.d, mask, &values);
    if i.more[0] != Inst::UNUSED {
        r.set_pred(i.more[0], mask, valid);
    }
    Ok(())
}

fn vote(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    let sync = w.take("sync");
    let mode = w.needs("mode", |word| ["all", "any", "uni", "ballot"].iter().position(|mode| *mode == word))?;
    let to = w.ty()?;
    if to != if mode == 3 { Type::B32 } else { Type::Pred } || i.operands.len() != if sync { 3 } else { 2 } {
        return w.unsupported();
    }
    let op: AccessOp = |x, i, mask| {
        let r = &mut x.warp.regs;
        let holds = mask & (r.pred(i.a) ^ if i.imm == NEGATED { u32::MAX } else { 0 });
        let all = |truth: bool| if truth { u32::MAX } else { 0 };
        match i.variant {
            0 => r.set_pred(i.d, mask, all(holds == mask)),
            1 => r.set_pred(i.d, mask, all(holds != 0)),
            2 => r.set_pred(i.d, mask, all(holds == mask || holds == 0)),
            _ => r.set(i.d, mask, &[holds; LANES]),
        }
        Ok(())
    };
    let inst = collective(d, op, i.operands.get(2))?;
    let (a, negated) = d.predicate(&i.operands[1])?;
    let inst = Inst { d: d.destination(&i.operands[0], to)?, a, variant: mode as u8, imm: if negated { NEGATED } else { 0 }, ..inst };
    d.emit(inst);
    Ok(())
}

fn find_matches(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    let all = w.take("all");
    if all == w.take("any") || !w.take("sync") || i.operands.len() != 3 {
        return w.unsupported();
    }
    let ty = w.ty()?;
    let bytes = ty.bytes();
    if !matches!(ty, Type::B32 | Type::B64) {
        return w.unsupported();
    }
    let op: AccessOp = |x, i, mask| {
        let r = &mut x.warp.regs;
        let values = r.get_wide(i.a, i.imm as usize);
        let same = |value: u64| lanes(mask).filter(|&other| values[other] == value).fold(0, |same, other| same | 1 << other);
        let found: [u32; LANES] = std::array::from_fn(|lane| same(values[lane]));
        if i.variant == 0 {
            r.set(i.d, mask, &found);
            return Ok(());
        }
        let agree = found[mask.trailing_zeros() as usize] == mask;
        r.set(i.d, mask, &[if agree { mask } else { 0 }; LANES]);
        if i.more[0] != Inst::UNUSED {
            r.set_pred(i.more[0], mask, if agree { u32::MAX } else { 0 });
        }
        Ok(())
    };
    let (to, agree) = pair(&i.operands[0]);
    let agree = agree.map(|agree| d.destination(&agree, Type::Pred)).transpose()?.unwrap_or(Inst::UNUSED);
    let inst = collective(d, op, i.operands.get(2))?;
    let inst = Inst {
        d: d.destination(&to, Type::B32)?,
        a: d.source(&i.operands[1], ty)?,
        more: [agree].into(),
        imm: bytes as u64,
        variant: all.into(),
        ..inst
    };
    d.emit(inst);
    Ok(())
}

fn reduce(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    let names = ["add", "min", "max", "and", "or", "xor"];
    let name = w.needs("operation", |word| names.iter().copied().find(|name| *name == word))?;
    let ty = w.ty()?;
    fn combine(x: &mut Exec, i: &Inst, mask: u32, f: impl Fn(u32, u32) -> u32) -> Outcome<()> {
        let row = x.warp.regs.get::<u32>(i.a);
        let value = lanes(mask).map(|lane| row[lane]).reduce(f).unwrap_or(0);
        x.warp.regs.set(i.d, mask, &[value; LANES]);
        Ok(())
    }
    let op: AccessOp = match (name, ty) {
        ("add", Type::U32 | Type::S32) => |x, i, m| combine(x, i, m, u32::wrapping_add),
        ("min", Type::U32) => |x, i, m| combine(x, i, m, u32::min),
        ("max", Type::U32) => |x, i, m| combine(x, i, m, u32::max),
        ("min", Type::S32) => |x, i, m| combine(x, i, m, |a, b| (a as i32).min(b as i32) as u32),
        ("max", Type::S32) => |x, i, m| combine(x, i, m, |a, b| (a as i32).max(b as i32) as u32),
        ("and", Type::B32) => |x, i, m| combine(x, i, m, |a, b| a & b),
        ("or", Type::B32) => |x, i, m| combine(x, i, m, |a, b| a | b),
        ("xor", Type::B32) => |x, i, m| combine(x, i, m, |a, b| a ^ b),
        _ => return w.unsupported(),
    };
    let [to, a, members] = i.operands.as_slice() else { return w.unsupported() };
    if !w.take("sync") {
        return w.unsupported();
    }
    let inst = collective(d, op, Some(members))?;
    let inst = Inst { d: d.destination(to, ty)?, a: d.source(a, ty)?, ..inst };
    d.emit(inst);
    Ok(())
}

fn elect(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    let [to, members] = i.operands.as_slice() else { return w.unsupported() };
    let op: AccessOp = |x, i, mask| {
        let leader = mask.trailing_zeros();
        x.warp.regs.set(i.d, mask, &[leader; LANES]);
        if i.more[0] != Inst::UNUSED {
            x.warp.regs.set_pred(i.more[0], mask, 1 << leader);
        }
        Ok(())
    };
    if !w.take("sync") {
        return w.unsupported();
    }
    let (leader, is_leader) = pair(to);
    let is_leader = is_leader.map(|p| d.destination(&p, Type::Pred)).transpose()?.unwrap_or(Inst::UNUSED);
    let inst = collective(d, op, Some(members))?;
    let inst = Inst { d: d.destination(&leader, Type::B32)?, more: [is_leader].into(), ..inst };
    d.emit(inst);
    Ok(())
}

fn active_mask(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    let ty = w.ty()?;
    let [to] = i.operands.as_slice() else { return w.unsupported() };
    let op: AccessOp = |x, i, mask| {
        x.warp.regs.set(i.d, mask, &[mask; LANES]);
        Ok(())
    };
    let inst = Inst { d: d.destination(to, ty)?, ..Inst::new(Op::Access(op), Class::Warp) };
    d.emit(inst);
    Ok(())
}
