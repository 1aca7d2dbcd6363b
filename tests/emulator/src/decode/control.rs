//! Control flow, barriers and fences (ISA manual 9.7.11, 9.7.12).

use super::Result;
use super::context::{Decoder, Symbol};
use super::words::Words;
use crate::exec::Exec;
use crate::exec::program::{AccessOp, Barrier, BarrierKind, Inst, NOWHERE, Op};
use crate::profile::Class;
use crate::ptx::{Function, Instruction, Operand, Space, Type};

/// All instructions of the family.
pub fn decode(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    w.ignore(&["uni"]);
    match i.opcode {
        "bra" => {
            let [Operand::Name(target)] = i.operands.as_slice() else { return w.unsupported() };
            d.jumps.push((d.code.len(), vec![target.to_string()]));
            d.emit(Inst::new(Op::Branch { target: 0, reconverge: NOWHERE }, Class::Control));
        }
        "brx" => branch_table(d, i, w)?,
        "call" => call(d, i, w)?,
        "ret" => give_back(d)?,
        "exit" => d.emit(Inst::new(Op::Exit, Class::Control)),
        "trap" => d.emit(Inst::new(Op::Trap, Class::Control)),
        "bar" | "barrier" => barrier(d, i, w)?,
        "membar" | "fence" => fence(d, i, w)?,
        // Hints, and stops for a debugger.
        "nanosleep" | "brkpt" | "pmevent" => {
            w.ignore(&["u32", "mask"]);
        }
        _ => return w.unsupported(),
    }
    Ok(())
}

fn branch_table(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    let [index, Operand::Name(list)] = i.operands.as_slice() else { return w.unsupported() };
    let (true, Some(Symbol::Targets(labels))) = (w.take("idx"), d.lookup(list)) else { return w.unsupported() };
    let index = d.source(index, Type::U32)?;
    d.jumps.push((d.code.len(), labels));
    d.emit(Inst { a: index, ..Inst::new(Op::BranchTable { reconverge: NOWHERE }, Class::Control) });
    Ok(())
}

/// Copies `bytes` bytes of local memory in each lane.
fn copy_local(d: &mut Decoder, from: u64, to: u64, bytes: usize) {
    let op: AccessOp = |x, i, mask| {
        let size = x.launch.program.local_bytes;
        for lane in crate::exec::lanes(mask) {
            let (from, to) = (lane * size + i.a as usize, lane * size + i.b as usize);
            x.warp.local.copy_within(from..from + i.imm as usize, to);
        }
        Ok(())
    };
    d.emit(Inst { a: from as u32, b: to as u32, imm: bytes as u64, ..Inst::new(Op::Access(op), Class::Local) });
}

/// Declares the parameters of a device function, and fetches the arguments.
pub fn prologue(d: &mut Decoder, function: &Function) -> Result<()> {
    let (mut argument, _) = d.arguments;
    for variable in function.params.iter().chain(&function.returns) {
        let offset = d.new_local(variable.bytes(), variable.align);
        d.declare(variable.name.to_string(), Symbol::Memory(Space::Local, offset, variable.bytes()));
    }
    for variable in &function.params {
        let Some(Symbol::Memory(_, offset, bytes)) = d.lookup(variable.name) else { unreachable!("just declared") };
        copy_local(d, argument, offset, bytes);
        argument += bytes.next_multiple_of(16) as u64;
    }
    Ok(())
}

/// `ret`: hands the results over.
fn give_back(d: &mut Decoder) -> Result<()> {
    let function = &d.module.functions[d.function];
    if !function.entry {
        let (_, mut result) = d.arguments;
        for variable in &function.returns {
            let Some(Symbol::Memory(_, offset, bytes)) = d.lookup(variable.name) else { unreachable!("declared in the prologue") };
            copy_local(d, offset, result, bytes);
            result += bytes.next_multiple_of(16) as u64;
        }
    }
    d.emit(Inst::new(Op::Return, Class::Control));
    Ok(())
}

/// The `ret` at the end of a function that has none.
pub fn implicit_return(d: &mut Decoder, line: u32) -> Result<()> {
    let i = Instruction { guard: None, opcode: "ret", modifiers: Vec::new(), operands: Vec::new(), line };
    d.set_position(&i)?;
    give_back(d)
}

/// `call (results), function, (arguments), prototype`.
fn call(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    let (results, rest) = match i.operands.as_slice() {
        [Operand::List(results), rest @ ..] => (results.as_slice(), rest),
        rest => (&[][..], rest),
    };
    let (Some(Operand::Name(name)), arguments) = (rest.first(), rest.get(1)) else { return w.unsupported() };
    let arguments = match arguments {
        Some(Operand::List(arguments)) => arguments.as_slice(),
        _ => &[],
    };
    let (mut argument, mut result) = d.arguments;
    let callee = d.module.functions.iter().position(|function| function.name == *name && !function.entry);
    if let Some(callee) = callee {
        check_arguments(d, &d.module.functions[callee], arguments, results)?;
    }
    for operand in arguments {
        let (offset, bytes) = passed(d, operand)?;
        copy_local(d, offset, argument, bytes);
        argument += bytes.next_multiple_of(16) as u64;
    }
    if let Some(callee) = callee {
        d.note_call(callee);
        d.emit(Inst::new(Op::Call { target: 0 }, Class::Control));
    } else {
        let target = d.source(&Operand::Name(name), Type::B64)?;
        d.emit(Inst { a: target, ..Inst::new(Op::CallIndirect, Class::Control) });
    }
    for operand in results {
        let (offset, bytes) = passed(d, operand)?;
        copy_local(d, result, offset, bytes);
        result += bytes.next_multiple_of(16) as u64;
    }
    Ok(())
}

/// Place and size of an argument or result.
fn passed(d: &mut Decoder, operand: &Operand) -> Result<(u64, usize)> {
    if let Operand::Name(name) = operand
        && let Some(Symbol::Memory(Space::Local, offset, bytes)) = d.lookup(name)
    {
        return Ok((offset, bytes));
    }
    d.refuse("call: arguments and results must be .param variables")
}

fn check_arguments(d: &mut Decoder, function: &Function, arguments: &[Operand], results: &[Operand]) -> Result<()> {
    for (formal, actual) in [(&function.params, arguments), (&function.returns, results)] {
        let sizes: Vec<usize> = actual.iter().map(|operand| Ok(passed(d, operand)?.1)).collect::<Result<_>>()?;
        let expected: Vec<usize> = formal.iter().map(|variable| variable.bytes()).collect();
        if sizes != expected {
            return d.refuse(format!("call of `{}`: expected values of {expected:?} bytes, found {sizes:?}", function.name));
        }
    }
    Ok(())
}

fn barrier(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    if w.take("warp") {
        return warp_barrier(d, i, w);
    }
    w.ignore(&["cta"]);
    let aligned = w.take("aligned") || i.opcode == "bar";
    let reduction = w.take("red");
    let kind = match (reduction, w.choice(|word| ["sync", "arrive", "popc", "and", "or"].iter().position(|name| *name == word))) {
        (false, Some(0)) => BarrierKind::Sync,
        (false, Some(1)) => BarrierKind::Arrive,
        (true, Some(2)) => BarrierKind::Popc,
        (true, Some(3)) => BarrierKind::And,
        (true, Some(4)) => BarrierKind::Or,
        _ => return w.unsupported(),
    };
    let mut operands = i.operands.as_slice();
    let mut inst = Inst::new(Op::Barrier(Barrier { aligned, counted: false, kind }), Class::Barrier);
    if reduction {
        let ty = w.ty()?;
        let ([to, middle @ .., predicate], true) = (operands, ty == if kind == BarrierKind::Popc { Type::U32 } else { Type::Pred }) else {
            return w.unsupported();
        };
        inst.d = d.destination(to, ty)?;
        let (slot, negated) = d.predicate(predicate)?;
        (inst.c, inst.variant) = (slot, if negated { Inst::NEGATED } else { 0 });
        operands = middle;
    }
    let (number, count) = match operands {
        [number] => (number, None),
        [number, count] => (number, Some(count)),
        _ => return w.unsupported(),
    };
    inst.a = d.source(number, Type::U32)?;
    if let Some(count) = count {
        inst.b = d.source(count, Type::U32)?;
    }
    inst.op = Op::Barrier(Barrier { aligned, counted: count.is_some(), kind });
    d.emit(inst);
    Ok(())
}

fn warp_barrier(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    let ([members], true) = (i.operands.as_slice(), w.take("sync")) else { return w.unsupported() };
    let op: AccessOp = |x, _, _| {
        x.shared.warp_barrier(x.warp.index);
        Ok(())
    };
    let members = d.source(members, Type::B32)?;
    d.emit(Inst { c: members, variant: Inst::ANYWHERE, ..Inst::new(Op::Together(op), Class::Barrier) });
    Ok(())
}

/// Memory is coherent here, so that fences order nothing that is not in order already.
fn fence(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    let plain = ["cta", "gl", "sys", "gpu", "cluster", "sc", "acq_rel", "acquire", "release"];
    if !i.modifiers.iter().all(|word| plain.contains(word)) {
        return w.unsupported();
    }
    w.ignore(&plain);
    let op: AccessOp = |_: &mut Exec, _, _| Ok(());
    d.emit(Inst::new(Op::Access(op), Class::Barrier));
    Ok(())
}
