//! Loads, stores and asynchronous copies (ISA manual 9.7.9).

use super::context::{Decoder, Symbol};
use super::words::Words;
use super::{Result, space_of};
use crate::exec::program::{AccessOp, Inst, LaneOp, Op};
use crate::exec::{CopyAsync, Exec, FaultKind, Outcome, fault, lanes};
use crate::profile::Class;
use crate::ptx::{Instruction, Operand, Space, Type};

/// Modifiers that say how an access is cached.
const CACHE: [&str; 30] = [
    "ca",
    "cg",
    "cs",
    "lu",
    "cv",
    "wb",
    "wt",
    "nc",
    "weak",
    "L1::evict_normal",
    "L1::evict_unchanged",
    "L1::evict_first",
    "L1::evict_last",
    "L1::no_allocate",
    "L2::64B",
    "L2::128B",
    "L2::256B",
    "L2::evict_normal",
    "L2::evict_first",
    "L2::evict_last",
    "level::eviction_priority",
    "unified",
    "cta",
    "cluster",
    "gpu",
    "sys",
    "relaxed",
    "mmio",
    "noftz",
    "evict_normal",
];

/// All instructions of the family.
pub fn decode(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    match i.opcode {
        "prefetch" | "prefetchu" | "discard" | "applypriority" => {
            let all = i.modifiers.clone();
            w.ignore(&all);
            Ok(())
        }
        "cp" => copy(d, i, w),
        _ => access(d, i, w),
    }
}

/// Fills in the address of a memory operand: its slot, width and offset, and the space it is in.
pub fn address(d: &mut Decoder, operand: &Operand, mut space: Space, inst: &mut Inst) -> Result<()> {
    let Operand::Address(base, offset) = operand else { return d.refuse("operand: expected an address in brackets") };
    inst.imm = *offset;
    if space == Space::Param && !d.in_kernel() {
        space = Space::Local;
    }
    match &**base {
        Operand::Name(name) => match d.lookup(name) {
            Some(Symbol::Register(slot, ty)) => {
                (inst.a, inst.narrow) = (slot, ty.bytes() == 4);
                if !matches!(ty.bytes(), 4 | 8) {
                    return d.refuse(format!("register `{name}` is too narrow for an address"));
                }
            }
            Some(Symbol::Memory(lies_in, ..)) => {
                inst.a = d.source(base, Type::B64)?;
                // Parameters of calls lie in local memory; a variable named in a generic access is meant in its own space.
                if matches!(space, Space::Param | Space::Generic) {
                    space = lies_in;
                } else if lies_in != space && !matches!((lies_in, space), (Space::Local, Space::Param)) {
                    return d.refuse(format!("`{name}` is in {lies_in:?} space, not {space:?}"));
                }
            }
            Some(Symbol::DynamicShared) => {
                inst.a = d.source(base, Type::B64)?;
                space = Space::Shared;
            }
            _ => return d.refuse(format!("`{name}` is no address")),
        },
        Operand::Value(crate::ptx::Value::Integer(value)) => inst.a = d.constant(*value, 8),
        Operand::Element(..) => (inst.a, inst.narrow) = (d.register(base, Type::B64)?.0, d.register(base, Type::B64)?.1.bytes() == 4),
        _ => return d.refuse("operand: expected an address"),
    }
    inst.space = space;
    inst.class = match space {
        Space::Shared => Class::Shared,
        Space::Local | Space::Param => Class::Local,
        Space::Generic | Space::Global | Space::Const => Class::Global,
    };
    Ok(())
}

fn access(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    let load = i.opcode != "st";
    let volatile = ["volatile", "acquire", "release"].iter().any(|word| w.take(word)) || w.has("relaxed") && !w.has("cta");
    let space = space_of(w);
    if w.take("L2::cache_hint") {
        return d.refuse("cache hints are not supported");
    }
    w.ignore(&CACHE);
    let width = w.choice(|word| match word {
        "v2" => Some(2),
        "v4" => Some(4),
        "v8" => Some(8),
        _ => None,
    });
    let width = width.unwrap_or(1);
    let ty = w.ty()?;
    let [first, second] = i.operands.as_slice() else { return w.unsupported() };
    let (values, memory) = if load { (first, second) } else { (second, first) };
    let values = if width > 1 { d.elements(values) } else { vec![values.clone()] };
    if values.len() != width || ty == Type::Pred {
        return d.refuse(format!("`{}`: expected {width} values", i.full_name()));
    }
    let slots: Vec<(u32, usize)> =
        values.iter().map(|value| if load { d.wide_destination(value, ty) } else { d.wide_source(value, ty) }).collect::<Result<_>>()?;
    let bytes = slots[0].1;
    if slots.iter().any(|&(_, other)| other != bytes) {
        return d.refuse(format!("`{}`: the registers differ in size", i.full_name()));
    }
    let op = if load { load_op(ty, bytes) } else { store_op(ty, bytes) };
    let Some(op) = op else { return w.unsupported() };
    let mut inst = Inst { more: slots.iter().map(|&(slot, _)| slot).collect(), ..Inst::new(Op::Access(op), Class::Global) };
    address(d, memory, space, &mut inst)?;
    inst.variant = if volatile { Inst::VOLATILE } else { 0 };
    d.note_access(inst.space, ty.bytes());
    if !load && matches!(inst.space, Space::Const | Space::Param) {
        return d.refuse(format!("store to {:?} space", inst.space));
    }
    d.emit(inst);
    Ok(())
}

/// A load of elements of `ty` into registers of `bytes` bytes.
fn load_op(ty: Type, bytes: usize) -> Option<AccessOp> {
    macro_rules! into {
        ($E:ty as $S:ty: $($bytes:literal $R:ty),*) => {
            match bytes {
                $($bytes => Some((|x: &mut Exec, i: &Inst, m: u32| x.load(i, m, |e: $E| e as $S as $R)) as AccessOp),)*
                _ => None,
            }
        };
    }
    match ty {
        Type::U8 | Type::B8 => into!(u8 as u8: 1 u8, 2 u16, 4 u32, 8 u64),
        Type::S8 => into!(u8 as i8: 1 u8, 2 u16, 4 u32, 8 u64),
        Type::U16 | Type::B16 | Type::F16 | Type::Bf16 => into!(u16 as u16: 2 u16, 4 u32, 8 u64),
        Type::S16 => into!(u16 as i16: 2 u16, 4 u32, 8 u64),
        Type::U32 | Type::B32 | Type::F32 | Type::F16x2 | Type::Bf16x2 => into!(u32 as u32: 4 u32, 8 u64),
        Type::S32 => into!(u32 as i32: 4 u32, 8 u64),
        Type::U64 | Type::S64 | Type::B64 | Type::F64 => into!(u64 as u64: 8 u64),
        _ => None,
    }
}

/// A store of elements of `ty` from registers of `bytes` bytes.
fn store_op(ty: Type, bytes: usize) -> Option<AccessOp> {
    macro_rules! from {
        ($E:ty: $($bytes:literal $R:ty),*) => {
            match bytes {
                $($bytes => Some((|x: &mut Exec, i: &Inst, m: u32| x.store(i, m, |r: $R| r as $E)) as AccessOp),)*
                _ => None,
            }
        };
    }
    match ty.bytes() {
        1 => from!(u8: 1 u8, 2 u16, 4 u32, 8 u64),
        2 => from!(u16: 2 u16, 4 u32, 8 u64),
        4 => from!(u32: 4 u32, 8 u64),
        8 => from!(u64: 8 u64),
        _ => None,
    }
}

/// `cp.async`: the bytes are moved when they are waited for, so that a missing wait is seen.
fn copy(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    if !w.take("async") || w.has("bulk") || w.has("mbarrier") {
        return w.unsupported();
    }
    if w.take("commit_group") {
        let op: AccessOp = |x, _, _| {
            x.warp.commits += 1;
            Ok(())
        };
        d.emit(Inst::new(Op::Access(op), Class::Barrier));
        return Ok(());
    }
    if w.take("wait_all") {
        d.emit(Inst::new(Op::Access(|x, _, _| x.finish_copies(None)), Class::Barrier));
        return Ok(());
    }
    if w.take("wait_group") {
        let [Operand::Value(crate::ptx::Value::Integer(count))] = i.operands.as_slice() else { return w.unsupported() };
        d.emit(Inst { imm: *count, ..Inst::new(Op::Access(|x, i, _| x.finish_copies(Some(i.imm as u32))), Class::Barrier) });
        return Ok(());
    }
    let cached = w.take("ca");
    if !cached && !w.take("cg") {
        return w.unsupported();
    }
    w.ignore(&["shared", "shared::cta", "global", "L2::64B", "L2::128B", "L2::256B"]);
    let [to, from, Operand::Value(crate::ptx::Value::Integer(bytes)), rest @ ..] = i.operands.as_slice() else { return w.unsupported() };
    if !(matches!(bytes, 4 | 8) && cached || *bytes == 16) || rest.len() > 1 {
        return w.unsupported();
    }
    let source_bytes = match rest.first() {
        Some(operand) => d.source(operand, Type::U32)?,
        None => d.constant(*bytes, 4),
    };
    let op: AccessOp = |x, i, m| x.copy_async(i, m);
    let mut target = Inst::new(Op::Access(op), Class::Global);
    address(d, to, Space::Shared, &mut target)?;
    let mut inst = Inst::new(Op::Access(op), Class::Global);
    address(d, from, Space::Global, &mut inst)?;
    // The target's address goes into a register of its own: `a` holds one address only.
    let wide = d.new_register(Type::B64);
    let add: LaneOp = if target.narrow {
        |r, i, m| r.map1(i, m, |a: u32| u64::from(a).wrapping_add(i.imm))
    } else {
        |r, i, m| r.map1(i, m, |a: u64| a.wrapping_add(i.imm))
    };
    d.emit(Inst { d: wide, a: target.a, imm: target.imm, ..Inst::new(Op::Lanes(add), Class::Integer) });
    d.note_access(Space::Shared, *bytes as usize);
    d.emit(Inst { b: wide, c: source_bytes, variant: *bytes as u8, ..inst });
    Ok(())
}

impl Exec<'_> {
    /// Notes copies to be done by [`Exec::finish_copies`].
    fn copy_async(&mut self, inst: &Inst, mask: u32) -> Outcome<()> {
        let (from, to, read) = (self.addresses(inst), *self.warp.regs.get::<u64>(inst.b), *self.warp.regs.get::<u32>(inst.c));
        for lane in lanes(mask) {
            let bytes = inst.variant as usize;
            let misaligned = (from[lane] | to[lane]) % bytes as u64 != 0;
            if misaligned {
                return fault(FaultKind::Misaligned, lane, format!("cp.async of {bytes} bytes from {:#x} to {:#x}", from[lane], to[lane]));
            }
            self.warp.copies.push(CopyAsync {
                group: self.warp.commits,
                lane,
                from: from[lane],
                to: to[lane],
                bytes,
                source_bytes: (read[lane] as usize).min(bytes),
                pc: self.pc,
            });
        }
        Ok(())
    }

    /// Does the copies of all committed groups but the last `keep`; without a number, all that there are.
    pub fn finish_copies(&mut self, keep: Option<u32>) -> Outcome<()> {
        let end = keep.map_or(u32::MAX, |keep| self.warp.commits.saturating_sub(keep));
        let due = self.warp.copies.iter().take_while(|copy| copy.group < end).count();
        let copies: Vec<CopyAsync> = self.warp.copies.drain(..due).collect();
        let pc = self.pc;
        for copy in copies {
            self.pc = copy.pc;
            self.finish_copy(&copy)?;
        }
        self.pc = pc;
        Ok(())
    }

    fn finish_copy(&mut self, copy: &CopyAsync) -> Outcome<()> {
        let mut bytes = [0; 16];
        self.read_bytes(copy.lane, Space::Global, copy.from, &mut bytes[..copy.source_bytes])?;
        self.write_shared(copy.lane, copy.to, &bytes[..copy.bytes])
    }
}
