//! What a decoder knows while it walks through a function: names, the register file, the code so far.

use std::collections::HashMap;

use super::Result;
use crate::exec::{FUNCTION_WINDOW, LOCAL_WINDOW, Unit, broadcast, units};
use crate::program::{Class, Guard, Inst, Op, Param, Program, Special};
use crate::ptx::{Function, Instruction, Module, Operand, Space, Type, Value, Variable, refuse};

/// Addresses of a module's variables in global and constant space.
pub type Symbols = HashMap<String, u64>;

/// What a name in a function stands for.
#[derive(Clone, Debug)]
pub enum Symbol {
    /// A register: its row and type.
    Register(u32, Type),
    /// A vector of registers.
    Vector(Vec<u32>, Type),
    /// A variable: its space, address and size.
    Memory(Space, u64, usize),
    /// Dynamic shared memory.
    DynamicShared,
    /// A list of labels.
    Targets(Vec<String>),
}

/// A constant whose value is known only when all is decoded.
struct Late {
    slot: u32,
    bytes: usize,
    added: u64,
}

/// The state of decoding one program.
pub struct Decoder<'a, 's> {
    /// The module.
    pub module: &'a Module<'s>,
    symbols: &'a Symbols,
    /// Names of the scopes that are open, the innermost last.
    pub scopes: Vec<HashMap<String, Symbol>>,
    /// The code so far.
    pub code: Vec<Inst>,
    lines: Vec<u32>,
    file: Vec<Unit>,
    preds: u32,
    constants: HashMap<(u64, usize), u32>,
    late: Vec<Late>,
    specials: Vec<(Special, u32)>,
    params: Vec<Param>,
    shared: HashMap<String, (u64, usize)>,
    shared_bytes: usize,
    local_bytes: usize,
    granule: usize,
    /// The function being decoded.
    pub function: usize,
    /// First instruction of that function.
    pub begin: usize,
    guard: Guard,
    line: u32,
    /// Labels of the function.
    pub labels: HashMap<String, u32>,
    /// Branches whose targets are not resolved: (instruction, labels).
    pub jumps: Vec<(usize, Vec<String>)>,
    calls: Vec<Call>,
    /// Where calls pass arguments and results, in local memory.
    pub arguments: (u64, u64),
}

struct Call {
    caller: usize,
    callee: usize,
    line: u32,
    /// The instruction to be patched; `None` if only the address is taken.
    at: Option<usize>,
}

impl<'a, 's> Decoder<'a, 's> {
    /// Begins a program at `root`.
    pub fn new(module: &'a Module<'s>, symbols: &'a Symbols, root: &Function<'s>) -> Result<Self> {
        let passed = |list: &[Variable]| list.iter().map(|v| v.bytes().next_multiple_of(16) as u64).sum::<u64>();
        let functions = || module.functions.iter().filter(|function| !function.entry);
        let arguments = functions().map(|f| passed(&f.params)).max().unwrap_or(0);
        let results = functions().map(|f| passed(&f.returns)).max().unwrap_or(0);
        let mut decoder = Self {
            module,
            symbols,
            scopes: Vec::new(),
            code: Vec::new(),
            lines: Vec::new(),
            file: Vec::new(),
            preds: 0,
            constants: HashMap::new(),
            late: Vec::new(),
            specials: Vec::new(),
            params: Vec::new(),
            shared: HashMap::new(),
            shared_bytes: 0,
            local_bytes: (arguments + results) as usize,
            granule: 4,
            function: 0,
            begin: 0,
            guard: Guard::Always,
            line: root.line,
            labels: HashMap::new(),
            jumps: Vec::new(),
            calls: Vec::new(),
            arguments: (0, arguments),
        };
        if root.entry {
            decoder.params = root.params.iter().scan(0, |end, param| Some(next_param(end, param))).collect();
        }
        Ok(decoder)
    }

    /// Index of the next instruction.
    pub fn here(&self) -> u32 {
        self.code.len() as u32
    }

    /// Begins a function: declares its parameters.
    pub fn begin(&mut self, index: usize) -> Result<()> {
        let function = &self.module.functions[index];
        (self.function, self.begin, self.line, self.guard) = (index, self.code.len(), function.line, Guard::Always);
        self.labels.clear();
        self.jumps.clear();
        self.scopes = vec![HashMap::new()];
        if function.entry {
            for (at, variable) in function.params.iter().enumerate() {
                let param = &self.params[at];
                self.declare(variable.name.to_string(), Symbol::Memory(Space::Param, param.offset as u64, param.bytes));
            }
            return Ok(());
        }
        super::control::prologue(self, function)
    }

    /// Gives a name a meaning in the innermost scope.
    pub fn declare(&mut self, name: String, symbol: Symbol) {
        self.scopes.last_mut().expect("a scope is open").insert(name, symbol);
    }

    /// A new row for a register of `ty`, or a new predicate.
    pub fn new_register(&mut self, ty: Type) -> u32 {
        if ty == Type::Pred {
            self.preds += 1;
            return self.preds - 1;
        }
        self.new_row(ty.bytes())
    }

    fn new_row(&mut self, bytes: usize) -> u32 {
        let slot = self.file.len() as u32;
        self.file.resize(self.file.len() + units(bytes) as usize, bytemuck::Zeroable::zeroed());
        slot
    }

    /// `.reg`.
    pub fn declare_registers(&mut self, name: &str, count: Option<u32>, ty: Type, width: usize) {
        let names = match count {
            Some(count) => (0..count).map(|at| format!("{name}{at}")).collect(),
            None => vec![name.to_string()],
        };
        for name in names {
            let symbol = match width {
                1 => Symbol::Register(self.new_register(ty), ty),
                _ => Symbol::Vector((0..width).map(|_| self.new_register(ty)).collect(), ty),
            };
            self.declare(name, symbol);
        }
    }

    /// Space in the local memory of a thread.
    pub fn new_local(&mut self, bytes: usize, align: usize) -> u64 {
        let offset = self.local_bytes.next_multiple_of(align.max(1));
        self.local_bytes = offset + bytes;
        offset as u64
    }

    /// A variable in a function.
    pub fn declare_variable(&mut self, variable: &Variable) -> Result<()> {
        let symbol = match variable.space {
            // Parameters of calls.
            Space::Local | Space::Param => {
                let bytes = variable.bytes();
                Symbol::Memory(Space::Local, self.new_local(bytes, variable.align), bytes)
            }
            Space::Shared if variable.external => Symbol::DynamicShared,
            Space::Shared => {
                let offset = self.new_shared(variable);
                Symbol::Memory(Space::Shared, offset, variable.bytes())
            }
            _ => return refuse(variable.line, format!("`{}`: global and constant variables must be at module scope", variable.name)),
        };
        self.declare(variable.name.to_string(), symbol);
        Ok(())
    }

    fn new_shared(&mut self, variable: &Variable) -> u64 {
        let offset = self.shared_bytes.next_multiple_of(variable.align);
        self.shared_bytes = offset + variable.bytes();
        offset as u64
    }

    /// What a name stands for.
    pub fn lookup(&mut self, name: &str) -> Option<Symbol> {
        if let Some(found) = self.scopes.iter().rev().find_map(|scope| scope.get(name)) {
            return Some(found.clone());
        }
        let variable = self.module.variables.iter().find(|variable| variable.name == name)?;
        Some(match variable.space {
            Space::Shared if variable.external || variable.count == 0 => Symbol::DynamicShared,
            Space::Shared => {
                let known = self.shared.get(name).copied();
                let (offset, bytes) = known.unwrap_or_else(|| (self.new_shared(variable), variable.bytes()));
                self.shared.insert(name.to_string(), (offset, bytes));
                Symbol::Memory(Space::Shared, offset, bytes)
            }
            space => Symbol::Memory(space, *self.symbols.get(name)?, variable.bytes()),
        })
    }

    /// Takes over the line and the guard of an instruction.
    pub fn set_position(&mut self, i: &Instruction) -> Result<()> {
        self.line = i.line;
        self.guard = match i.guard {
            None => Guard::Always,
            Some((name, negated)) => match self.lookup(name) {
                Some(Symbol::Register(slot, Type::Pred)) if negated => Guard::IfNot(slot),
                Some(Symbol::Register(slot, Type::Pred)) => Guard::If(slot),
                _ => return refuse(i.line, format!("guard `{name}` is no predicate")),
            },
        };
        Ok(())
    }

    /// Refuses the instruction being decoded.
    pub fn refuse<T>(&self, message: impl Into<String>) -> Result<T> {
        refuse(self.line, message)
    }

    /// Appends an instruction with the guard of the one being decoded.
    pub fn emit(&mut self, inst: Inst) {
        self.code.push(Inst { guard: self.guard, ..inst });
        self.lines.push(self.line);
    }

    /// A label at this place.
    pub fn label(&mut self, name: &str, line: u32) -> Result<()> {
        match self.labels.insert(name.to_string(), self.here()) {
            None => Ok(()),
            Some(_) => refuse(line, format!("label `{name}` is given twice")),
        }
    }

    /// The row that holds a constant of `bytes` bytes in every lane.
    pub fn constant(&mut self, bits: u64, bytes: usize) -> u32 {
        let bits = if bytes < 8 { bits & ((1 << (8 * bytes)) - 1) } else { bits };
        if let Some(&slot) = self.constants.get(&(bits, bytes)) {
            return slot;
        }
        let slot = self.new_row(bytes);
        fill(&mut self.file, slot, bits, bytes);
        self.constants.insert((bits, bytes), slot);
        slot
    }

    /// Address of a name as a constant row: of a variable in its space, or of a function.
    fn address(&mut self, name: &str, added: u64, bytes: usize) -> Result<Option<u32>> {
        match self.lookup(name) {
            Some(Symbol::Memory(_, address, _)) => Ok(Some(self.constant(address.wrapping_add(added), bytes))),
            Some(Symbol::DynamicShared) => {
                let slot = self.new_row(bytes);
                self.late.push(Late { slot, bytes, added });
                Ok(Some(slot))
            }
            Some(_) => Ok(None),
            None => {
                let Some(callee) = self.module.functions.iter().position(|f| f.name == name && !f.entry) else { return Ok(None) };
                self.calls.push(Call { caller: self.function, callee, line: self.line, at: None });
                Ok(Some(self.constant(FUNCTION_WINDOW + 16 * callee as u64, bytes)))
            }
        }
    }

    /// The slot of a source operand of type `ty`.
    pub fn source(&mut self, operand: &Operand, ty: Type) -> Result<u32> {
        self.source_of(operand, ty, ty.bytes())
    }

    /// The slot of a source operand in a register of `bytes` bytes; constants are of type `ty`.
    fn source_of(&mut self, operand: &Operand, ty: Type, bytes: usize) -> Result<u32> {
        match operand {
            Operand::Value(value) => {
                let bits = self.value_bits(*value, ty)?;
                Ok(self.constant(bits, bytes))
            }
            Operand::Name(name) => match self.lookup(name) {
                Some(Symbol::Register(slot, found)) => {
                    if found == Type::Pred || found.bytes() != bytes {
                        return self.refuse(format!("register `{name}` has {} bits, not {}", 8 * found.bytes(), 8 * bytes));
                    }
                    Ok(slot)
                }
                _ => match self.special(name, "", bytes)? {
                    Some(slot) => Ok(slot),
                    None => self.address(name, 0, bytes)?.map_or_else(|| self.refuse(format!("`{name}` is not declared")), Ok),
                },
            },
            Operand::Offset(name, added) => {
                self.address(name, *added, bytes)?.map_or_else(|| self.refuse(format!("`{name}` is no variable")), Ok)
            }
            Operand::Element(name, element) => match self.lookup(name) {
                Some(Symbol::Vector(slots, found)) if found.bytes() == bytes => self.element(&slots, element),
                _ => self.special(name, element, bytes)?.map_or_else(|| self.refuse(format!("`{name}.{element}` is no operand here")), Ok),
            },
            _ => self.refuse("operand: expected a register or a constant"),
        }
    }

    fn element(&self, slots: &[u32], element: &str) -> Result<u32> {
        let at = ["x", "y", "z", "w"].iter().position(|name| *name == element);
        let at = at.or(["r", "g", "b", "a"].iter().position(|name| *name == element));
        at.and_then(|at| slots.get(at)).copied().map_or_else(|| self.refuse(format!("a vector has no element .{element}")), Ok)
    }

    /// The slot of a destination register of `bytes` bytes.
    pub fn destination(&mut self, operand: &Operand, ty: Type) -> Result<u32> {
        let (slot, found) = self.register(operand, ty)?;
        if found.bytes() != ty.bytes() || (found == Type::Pred) != (ty == Type::Pred) {
            return self.refuse(format!("the destination has {} bits, not {}", 8 * found.bytes(), 8 * ty.bytes()));
        }
        Ok(slot)
    }

    /// A register operand: its slot and declared type; `_` becomes a register of `ty`.
    pub fn register(&mut self, operand: &Operand, ty: Type) -> Result<(u32, Type)> {
        match operand {
            Operand::Name("_") => Ok((self.new_register(ty), ty)),
            Operand::Name(name) => match self.lookup(name) {
                Some(Symbol::Register(slot, found)) => Ok((slot, found)),
                _ => self.refuse(format!("`{name}` is no register")),
            },
            Operand::Element(name, element) => match self.lookup(name) {
                Some(Symbol::Vector(slots, found)) => Ok((self.element(&slots, element)?, found)),
                _ => self.refuse(format!("`{name}` is no vector")),
            },
            _ => self.refuse("operand: expected a register"),
        }
    }

    /// A source whose register may be wider than `ty`: its slot and the register's bytes.
    pub fn wide_source(&mut self, operand: &Operand, ty: Type) -> Result<(u32, usize)> {
        if let Operand::Name(_) | Operand::Element(..) = operand
            && let Ok((slot, found)) = self.register(operand, ty)
        {
            if found == Type::Pred || found.bytes() < ty.bytes() {
                return self.refuse(format!("a register of type {found:?} cannot hold {ty:?}"));
            }
            return Ok((slot, found.bytes()));
        }
        Ok((self.source(operand, ty)?, ty.bytes()))
    }

    /// A destination whose register may be wider than `ty`: its slot and the register's bytes.
    pub fn wide_destination(&mut self, operand: &Operand, ty: Type) -> Result<(u32, usize)> {
        let (slot, found) = self.register(operand, ty)?;
        if found == Type::Pred || found.bytes() < ty.bytes() {
            return self.refuse(format!("a register of type {found:?} cannot hold {ty:?}"));
        }
        Ok((slot, found.bytes()))
    }

    /// A source predicate: its slot, and whether it is negated.
    pub fn predicate(&mut self, operand: &Operand) -> Result<(u32, bool)> {
        let (name, negated) = match operand {
            Operand::Name(name) => (name, false),
            Operand::Not(name) => (name, true),
            _ => return self.refuse("operand: expected a predicate"),
        };
        match self.lookup(name) {
            Some(Symbol::Register(slot, Type::Pred)) => Ok((slot, negated)),
            _ => self.refuse(format!("`{name}` is no predicate")),
        }
    }

    /// The registers of a vector operand, or of a scalar one.
    pub fn elements<'o>(&mut self, operand: &'o Operand<'o>) -> Vec<Operand<'o>> {
        match operand {
            Operand::Vector(elements) => elements.clone(),
            Operand::Name(name) => match self.lookup(name) {
                Some(Symbol::Vector(slots, _)) => {
                    ["x", "y", "z", "w"].iter().take(slots.len()).map(|element| Operand::Element(name, element)).collect()
                }
                _ => vec![operand.clone()],
            },
            _ => vec![operand.clone()],
        }
    }

    /// The bits of a constant as a value of `ty`.
    fn value_bits(&self, value: Value, ty: Type) -> Result<u64> {
        let float = matches!(ty, Type::F32 | Type::F64);
        match (value, ty) {
            (Value::Integer(bits), _) if !float => Ok(bits),
            (Value::Single(bits), Type::F64) => Ok(f64::from(f32::from_bits(bits)).to_bits()),
            (Value::Single(bits), _) if ty.bytes() == 4 => Ok(bits.into()),
            (Value::Double(bits), Type::F32) => Ok((f64::from_bits(bits) as f32).to_bits().into()),
            (Value::Double(bits), _) if ty.bytes() == 8 => Ok(bits),
            _ => self.refuse(format!("constant {value:?} does not fit type {ty:?}")),
        }
    }

    /// The row of a special register; `None` if the name is none.
    fn special(&mut self, name: &str, element: &str, bytes: usize) -> Result<Option<u32>> {
        let axis = ["x", "y", "z"].iter().position(|axis| *axis == element).map(|axis| axis as u8);
        let (special, width) = match (name, axis) {
            ("%tid", Some(axis)) => (Special::Tid(axis), 4),
            ("%ntid", Some(axis)) => (Special::Ntid(axis), 4),
            ("%ctaid", Some(axis)) => (Special::Ctaid(axis), 4),
            ("%nctaid", Some(axis)) => (Special::Nctaid(axis), 4),
            ("%laneid", None) => (Special::LaneId, 4),
            ("%warpid", None) => (Special::WarpId, 4),
            ("%nwarpid", None) => (Special::NWarpId, 4),
            ("%lanemask_eq", None) => (Special::LaneMaskEq, 4),
            ("%lanemask_le", None) => (Special::LaneMaskLe, 4),
            ("%lanemask_lt", None) => (Special::LaneMaskLt, 4),
            ("%lanemask_ge", None) => (Special::LaneMaskGe, 4),
            ("%lanemask_gt", None) => (Special::LaneMaskGt, 4),
            ("%dynamic_smem_size", None) => (Special::DynamicSharedSize, 4),
            ("%total_smem_size", None) => (Special::TotalSharedSize, 4),
            ("%gridid", None) => (Special::GridId, 8),
            ("WARP_SZ", None) => return Ok(Some(self.constant(32, bytes))),
            ("%smid", None) => return Ok(Some(self.constant(0, bytes))),
            ("%nsmid", None) => return Ok(Some(self.constant(1, bytes))),
            ("%clock" | "%clock_hi" | "%clock64" | "%globaltimer" | "%globaltimer_lo" | "%globaltimer_hi", None) => {
                return super::moves::clock(self, name, bytes).map(Some);
            }
            _ => return Ok(None),
        };
        if width != bytes {
            return self.refuse(format!("special register `{name}` has {} bits, not {}", 8 * width, 8 * bytes));
        }
        if let Some(&(_, slot)) = self.specials.iter().find(|(known, _)| *known == special) {
            return Ok(Some(slot));
        }
        let slot = self.new_row(width);
        self.specials.push((special, slot));
        Ok(Some(slot))
    }

    /// Notes that shared memory may be accessed in units of `bytes`.
    pub fn note_access(&mut self, space: Space, bytes: usize) {
        if matches!(space, Space::Shared | Space::Generic) {
            self.granule = self.granule.min(bytes);
        }
    }

    /// Notes a call by the instruction to come, or by a pointer to `callee`.
    pub fn note_call(&mut self, callee: usize) {
        self.calls.push(Call { caller: self.function, callee, line: self.line, at: Some(self.code.len()) });
    }

    /// The functions that a function calls or takes the address of.
    pub fn callees(&self, caller: usize) -> Vec<usize> {
        self.calls.iter().filter(|call| call.caller == caller).map(|call| call.callee).collect()
    }

    /// The line of a call of this function.
    pub fn call_line(&self, callee: usize) -> u32 {
        self.calls.iter().find(|call| call.callee == callee).map_or(self.line, |call| call.line)
    }

    /// Registers and local memory of a function exist once, so it cannot call itself.
    pub fn refuse_recursion(&self) -> Result<()> {
        for call in self.calls.iter().filter(|call| call.at.is_some()) {
            let (mut seen, mut todo) = (Vec::new(), vec![call.callee]);
            while let Some(function) = todo.pop() {
                if function == call.caller {
                    let name = self.module.functions[call.callee].name;
                    return refuse(call.line, format!("recursive call of `{name}`: recursion is not supported"));
                }
                if !seen.contains(&function) {
                    seen.push(function);
                    todo.extend(self.calls.iter().filter(|c| c.caller == function && c.at.is_some()).map(|c| c.callee));
                }
            }
        }
        Ok(())
    }

    /// The finished program; `begins` says where each function begins.
    pub fn finish(mut self, root: &Function, begins: &HashMap<usize, u32>) -> Program {
        for call in &self.calls {
            if let Some(at) = call.at {
                self.code[at].op = Op::Call { target: begins[&call.callee] };
            }
        }
        // Dynamic shared memory follows the static one.
        self.shared_bytes = self.shared_bytes.next_multiple_of(if self.late.is_empty() { 1 } else { 128 });
        for late in &self.late {
            fill(&mut self.file, late.slot, (self.shared_bytes as u64).wrapping_add(late.added), late.bytes);
        }
        Program {
            name: root.name.to_string(),
            code: self.code,
            lines: self.lines,
            units: self.file.len(),
            constants: self.file,
            preds: self.preds as usize,
            specials: self.specials,
            entries: begins.iter().map(|(&index, &begin)| (FUNCTION_WINDOW + 16 * index as u64, begin)).collect(),
            params: self.params,
            shared_bytes: self.shared_bytes,
            local_bytes: self.local_bytes.next_multiple_of(16),
            max_threads: root.max_threads,
            required_threads: root.required_threads,
            granule: self.granule,
        }
    }

    /// Whether the code being decoded belongs to a kernel (else to a device function).
    pub fn in_kernel(&self) -> bool {
        self.module.functions[self.function].entry
    }
}

impl Inst {
    /// An instruction without operands.
    pub fn new(op: Op, class: Class) -> Self {
        Self {
            op,
            guard: Guard::Always,
            d: 0,
            a: 0,
            b: 0,
            c: 0,
            imm: 0,
            more: Box::default(),
            space: Space::Generic,
            narrow: false,
            variant: 0,
            class,
        }
    }
}

/// The generic address of an address in `space`, less that address.
pub fn window(space: Space) -> u64 {
    match space {
        Space::Shared => crate::exec::SHARED_WINDOW,
        Space::Local => LOCAL_WINDOW,
        Space::Param => crate::exec::PARAM_WINDOW,
        Space::Global | Space::Const | Space::Generic => 0,
    }
}

fn next_param(end: &mut usize, param: &Variable) -> Param {
    let offset = end.next_multiple_of(param.align);
    *end = offset + param.bytes();
    Param { offset, bytes: param.bytes() }
}

fn fill(file: &mut [Unit], slot: u32, bits: u64, bytes: usize) {
    match bytes {
        1 => broadcast(file, slot, bits as u8),
        2 => broadcast(file, slot, bits as u16),
        4 => broadcast(file, slot, bits as u32),
        8 => broadcast(file, slot, bits),
        _ => broadcast(file, slot, [bits, 0]),
    }
}
