//! The syntax tree of a PTX module. Names and modifiers borrow from the text.

/// A fundamental type (ISA manual 5.2), packed types included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Type {
    B8,
    B16,
    B32,
    B64,
    B128,
    U8,
    U16,
    U32,
    U64,
    S8,
    S16,
    S32,
    S64,
    F16,
    F16x2,
    Bf16,
    Bf16x2,
    Tf32,
    F32,
    F64,
    Pred,
}

impl Type {
    /// The type a modifier names, as `u32` or `f16x2`.
    pub fn from_name(name: &str) -> Option<Self> {
        use Type::*;
        Some(match name {
            "b8" => B8,
            "b16" => B16,
            "b32" => B32,
            "b64" => B64,
            "b128" => B128,
            "u8" => U8,
            "u16" => U16,
            "u32" => U32,
            "u64" => U64,
            "s8" => S8,
            "s16" => S16,
            "s32" => S32,
            "s64" => S64,
            "f16" => F16,
            "f16x2" => F16x2,
            "bf16" => Bf16,
            "bf16x2" => Bf16x2,
            "tf32" => Tf32,
            "f32" => F32,
            "f64" => F64,
            "pred" => Pred,
            _ => return None,
        })
    }

    /// The inverse of `as u8`.
    pub fn from_index(index: u8) -> Self {
        use Type::*;
        const ALL: [Type; 21] =
            [B8, B16, B32, B64, B128, U8, U16, U32, U64, S8, S16, S32, S64, F16, F16x2, Bf16, Bf16x2, Tf32, F32, F64, Pred];
        ALL[index as usize]
    }

    /// Bytes of a value (a predicate counts as one).
    pub fn bytes(self) -> usize {
        use Type::*;
        match self {
            B8 | U8 | S8 | Pred => 1,
            B16 | U16 | S16 | F16 | Bf16 => 2,
            B32 | U32 | S32 | F16x2 | Bf16x2 | Tf32 | F32 => 4,
            B64 | U64 | S64 | F64 => 8,
            B128 => 16,
        }
    }

    /// Whether values are signed integers.
    pub fn is_signed(self) -> bool {
        matches!(self, Type::S8 | Type::S16 | Type::S32 | Type::S64)
    }

    /// Whether values are floating-point numbers, packed or not.
    pub fn is_float(self) -> bool {
        use Type::*;
        matches!(self, F16 | F16x2 | Bf16 | Bf16x2 | Tf32 | F32 | F64)
    }
}

/// A state space (ISA manual 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Space {
    Generic,
    Global,
    Const,
    Shared,
    Local,
    Param,
}

impl Space {
    /// The space a modifier names, as `shared` or `param::entry`.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "global" => Space::Global,
            "const" => Space::Const,
            "shared" | "shared::cta" => Space::Shared,
            "local" => Space::Local,
            "param" | "param::entry" | "param::func" => Space::Param,
            _ => return None,
        })
    }
}

/// A module: one PTX text.
#[derive(Debug, Default)]
pub struct Module<'s> {
    /// `.version`, as (major, minor).
    pub version: (u32, u32),
    /// `.target`, the architecture only.
    pub target: &'s str,
    /// Variables at module scope.
    pub variables: Vec<Variable<'s>>,
    /// Kernels and device functions, declarations included.
    pub functions: Vec<Function<'s>>,
}

/// A variable of a state space, or a parameter.
#[derive(Clone, Debug)]
pub struct Variable<'s> {
    /// Where it lies.
    pub space: Space,
    /// Name of the variable.
    pub name: &'s str,
    /// Type of an element.
    pub element: Type,
    /// Elements in all: the vector width times the array dimensions; 0 for an array without a size.
    pub count: usize,
    /// Alignment in bytes.
    pub align: usize,
    /// Declared `.extern`.
    pub external: bool,
    /// Initial values; what is missing is zero.
    pub initial: Vec<Initial<'s>>,
    /// Line of the declaration.
    pub line: u32,
}

impl Variable<'_> {
    /// Size in bytes.
    pub fn bytes(&self) -> usize {
        self.count * self.element.bytes()
    }
}

/// An initial value of one array element.
#[derive(Clone, Debug)]
pub enum Initial<'s> {
    /// A number.
    Value(Value),
    /// The address of a symbol plus an offset; `mask` picks one byte of it (`0xFF00(symbol)`).
    Address {
        /// The variable or function.
        name: &'s str,
        /// Added bytes.
        offset: u64,
        /// The picked bits, if the element is a byte of the address.
        mask: Option<u64>,
    },
}

/// A constant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// An integer; negative numbers in two's complement.
    Integer(u64),
    /// The bits of an `f32`.
    Single(u32),
    /// The bits of an `f64`.
    Double(u64),
}

/// A kernel (`.entry`) or device function (`.func`).
#[derive(Debug)]
pub struct Function<'s> {
    /// Name of the function.
    pub name: &'s str,
    /// Whether it is a kernel.
    pub entry: bool,
    /// Return parameters of a device function.
    pub returns: Vec<Variable<'s>>,
    /// Parameters.
    pub params: Vec<Variable<'s>>,
    /// Product of `.maxntid`, if given.
    pub max_threads: Option<u32>,
    /// `.reqntid`, if given.
    pub required_threads: Option<[u32; 3]>,
    /// The statements; `None` for a declaration.
    pub body: Option<Vec<Statement<'s>>>,
    /// Line of the declaration.
    pub line: u32,
}

/// A statement of a function body.
#[derive(Debug)]
pub enum Statement<'s> {
    /// `name:`.
    Label(&'s str, u32),
    /// An instruction.
    Instruction(Instruction<'s>),
    /// `.reg`: a name, or `count` numbered names.
    Register {
        /// The name, or its part before the number.
        name: &'s str,
        /// `Some(n)` declares `name0` … `name(n-1)`.
        count: Option<u32>,
        /// Type of the registers.
        ty: Type,
        /// Vector width, 1 for scalars.
        width: usize,
    },
    /// A variable in `.local`, `.shared`, `.param`, `.global` or `.const` space.
    Variable(Variable<'s>),
    /// `name: .branchtargets …` or `name: .calltargets …`.
    Targets(&'s str, Vec<&'s str>),
    /// A nested scope.
    Block(Vec<Statement<'s>>),
}

/// An instruction.
#[derive(Clone, Debug)]
pub struct Instruction<'s> {
    /// `@p` as (p, false), `@!p` as (p, true).
    pub guard: Option<(&'s str, bool)>,
    /// The first word, as `ld`.
    pub opcode: &'s str,
    /// The other words, as `global`, `nc`, `f32`.
    pub modifiers: Vec<&'s str>,
    /// What stands behind.
    pub operands: Vec<Operand<'s>>,
    /// Line of the text, from 1.
    pub line: u32,
}

impl Instruction<'_> {
    /// Name with all modifiers, as `ld.global.nc.f32`.
    pub fn full_name(&self) -> String {
        self.modifiers.iter().fold(self.opcode.to_string(), |name, modifier| name + "." + modifier)
    }
}

/// An operand.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand<'s> {
    /// A register, special register, variable, label or function.
    Name(&'s str),
    /// A variable's address plus an offset.
    Offset(&'s str, u64),
    /// A component, as `%tid.x`.
    Element(&'s str, &'s str),
    /// A constant.
    Value(Value),
    /// `!p`.
    Not(&'s str),
    /// `p|q`.
    Pair(&'s str, &'s str),
    /// `{a, b}`.
    Vector(Vec<Operand<'s>>),
    /// `[base + offset]`; the base is a name or a constant address.
    Address(Box<Operand<'s>>, u64),
    /// `(a, b)`, the arguments of a call.
    List(Vec<Operand<'s>>),
}
