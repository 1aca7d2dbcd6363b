//! What a decoder knows while it walks through a function: names, the register file, the code so far.

use std::collections::HashMap;

use super::Result;
use crate::exec::program::{Guard, Inst, Op, Param, Program, Special};
use crate::exec::{FUNCTION_WINDOW, LOCAL_WINDOW, Unit, broadcast, units};
use crate::profile::Class;
use crate::ptx::{Function, Instruction, Module, Space, Type, Variable, refuse};

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
    /// Special registers and their rows.
    pub specials: Vec<(Special, u32)>,
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

    /// Begins a function: declares the parameters of an entry.
    pub fn begin(&mut self, index: usize) {
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
        }
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

    /// A new row for registers of `bytes` bytes.
    pub fn new_row(&mut self, bytes: usize) -> u32 {
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
    pub fn address(&mut self, name: &str, added: u64, bytes: usize) -> Result<Option<u32>> {
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
