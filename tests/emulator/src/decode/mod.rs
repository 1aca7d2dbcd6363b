//! From syntax to programs: every kernel with the device functions it can reach, all names resolved.
//!
//! Each instruction family has a file: it knows the forms of its instructions, and what they do with the registers.

mod atomics;
mod bits;
mod compare;
mod context;
mod control;
mod convert;
mod float;
mod flow;
mod integer;
mod matrix;
mod memory;
mod moves;
mod operands;
mod packed;
mod transcendental;
mod warp;
mod words;

use std::collections::HashMap;

pub use context::Symbols;
use context::{Decoder, Symbol};
use words::Words;

use crate::exec::program::{Op, Program};
use crate::ptx::{Function, Initial, Instruction, Module, PtxError, Space, Statement, refuse};

type Result<T> = std::result::Result<T, PtxError>;

/// Decodes all kernels of a module. Functions that no kernel reaches are decoded too, so that what is not supported is always refused.
///
/// # Errors
/// An instruction that is unknown, not supported or malformed, with its line.
pub fn decode(module: &Module, symbols: &Symbols) -> Result<Vec<Program>> {
    let mut reached = vec![false; module.functions.len()];
    let mut programs = Vec::new();
    for root in module.functions.iter().filter(|function| function.entry && function.body.is_some()) {
        let (program, functions) = decode_program(module, symbols, root)?;
        functions.into_iter().for_each(|index| reached[index] = true);
        programs.push(program);
    }
    for (index, function) in module.functions.iter().enumerate() {
        if !function.entry && function.body.is_some() && !reached[index] {
            let (_, functions) = decode_program(module, symbols, function)?;
            functions.into_iter().for_each(|index| reached[index] = true);
        }
    }
    Ok(programs)
}

/// Decodes a function and all that it calls; also gives the indices of these.
fn decode_program<'s>(module: &Module<'s>, symbols: &Symbols, root: &Function<'s>) -> Result<(Program, Vec<usize>)> {
    let mut decoder = Decoder::new(module, symbols, root)?;
    let mut begins: HashMap<usize, u32> = HashMap::new();
    let mut todo = vec![module.functions.iter().position(|f| std::ptr::eq(f, root)).expect("a function of the module")];
    while let Some(index) = todo.pop() {
        if begins.contains_key(&index) {
            continue;
        }
        begins.insert(index, decoder.here());
        decode_function(&mut decoder, index)?;
        todo.extend(decoder.callees(index));
        // A function whose address stands in a variable may be called through any pointer.
        if todo.is_empty() && decoder.code.iter().any(|inst| matches!(inst.op, Op::CallIndirect)) {
            todo.extend(functions_in_variables(module).filter(|index| !begins.contains_key(index)));
        }
    }
    decoder.refuse_recursion()?;
    let functions = begins.keys().copied().collect();
    Ok((decoder.finish(root, &begins), functions))
}

/// The functions whose addresses are initial values.
fn functions_in_variables(module: &Module) -> impl Iterator<Item = usize> {
    let initial = module.variables.iter().flat_map(|variable| &variable.initial);
    initial.filter_map(|initial| match initial {
        Initial::Address { name, .. } => module.functions.iter().position(|f| f.name == *name && f.body.is_some()),
        Initial::Value(_) => None,
    })
}

fn decode_function(d: &mut Decoder, index: usize) -> Result<()> {
    let function = &d.module.functions[index];
    let Some(body) = &function.body else {
        return refuse(d.call_line(index), format!("call of `{}`, which has no body", function.name));
    };
    d.begin(index);
    if !function.entry {
        control::prologue(d, function)?;
    }
    block(d, body)?;
    // Threads may run off the end of a function.
    control::implicit_return(d, function.line)?;
    flow::resolve(d)
}

fn block(d: &mut Decoder, statements: &[Statement]) -> Result<()> {
    d.scopes.push(HashMap::new());
    for statement in statements {
        match statement {
            Statement::Label(name, line) => d.label(name, *line)?,
            Statement::Register { name, count, ty, width } => d.declare_registers(name, *count, *ty, *width),
            Statement::Variable(variable) => d.declare_variable(variable)?,
            Statement::Targets(name, labels) => {
                d.declare(name.to_string(), Symbol::Targets(labels.iter().map(|label| label.to_string()).collect()))
            }
            Statement::Block(inner) => block(d, inner)?,
            Statement::Instruction(instruction) => instruction_at(d, instruction)?,
        }
    }
    d.scopes.pop();
    Ok(())
}

fn instruction_at(d: &mut Decoder, i: &Instruction) -> Result<()> {
    d.set_position(i)?;
    let mut words = Words::new(i);
    family(d, i, &mut words)?;
    words.finish()
}

/// Leaves an instruction to the decoder of its family.
fn family(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    match i.opcode {
        "mov" => moves::mov(d, i, w),
        "cvta" => moves::cvta(d, i, w),
        "isspacep" => moves::isspacep(d, i, w),
        "mapa" | "getctarank" => w.unsupported(),
        "cvt" => convert::cvt(d, i, w),
        "add" | "sub" | "mul" | "mad" | "div" | "min" | "max" | "abs" | "neg" | "fma" if w.is_packed() => packed::decode(d, i, w),
        "add" | "sub" | "mul" | "mad" | "div" | "min" | "max" | "abs" | "neg" | "fma" | "sqrt" | "rcp" | "copysign" | "testp"
            if w.is_float() && !w.has("approx") && !w.has("full") =>
        {
            float::decode(d, i, w)
        }
        "div" | "rcp" | "sqrt" if w.is_float() => transcendental::decode(d, i, w),
        "rsqrt" | "ex2" | "lg2" | "sin" | "cos" | "tanh" => transcendental::decode(d, i, w),
        "add" | "sub" | "mul" | "mad" | "div" | "rem" | "min" | "max" | "abs" | "neg" | "addc" | "subc" | "madc" | "sad" | "mul24"
        | "mad24" | "dp4a" | "dp2a" => integer::decode(d, i, w),
        "and" | "or" | "xor" | "not" | "cnot" | "shl" | "shr" | "shf" | "bfe" | "bfi" | "bfind" | "brev" | "popc" | "clz" | "prmt"
        | "lop3" | "fns" | "bmsk" | "szext" => bits::decode(d, i, w),
        "setp" | "set" | "selp" | "slct" => compare::decode(d, i, w),
        "ld" | "ldu" | "st" | "prefetch" | "prefetchu" | "discard" | "applypriority" | "cp" => memory::decode(d, i, w),
        "atom" | "red" => atomics::decode(d, i, w),
        "shfl" | "vote" | "match" | "activemask" | "redux" | "elect" => warp::decode(d, i, w),
        "mma" | "ldmatrix" | "stmatrix" | "movmatrix" => matrix::decode(d, i, w),
        "bra" | "brx" | "call" | "ret" | "exit" | "trap" | "brkpt" | "nanosleep" | "bar" | "barrier" | "membar" | "fence" | "pmevent"
        | "griddepcontrol" => control::decode(d, i, w),
        _ => w.unsupported(),
    }
}

/// The space that an instruction's modifiers name, or generic.
fn space_of(w: &mut Words) -> Space {
    w.choice(Space::from_name).unwrap_or(Space::Generic)
}
