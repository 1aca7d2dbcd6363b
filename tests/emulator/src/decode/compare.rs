//! Comparison and selection (ISA manual 9.7.6, 9.7.7): `setp`, `set`, `selp`, `slct`.

use half::{bf16, f16};

use super::Result;
use super::context::Decoder;
use super::float::{Float, flush};
use super::integer::{emit, for_integer};
use super::words::Words;
use crate::exec::program::{Inst, LaneOp, Op};
use crate::exec::{LANES, Regs};
use crate::profile::Class;
use crate::ptx::{Instruction, Operand, Type};

/// The predicate that the comparison is combined with is negated.
const NEGATED: u64 = 1;
/// The result of `set` has 16 bits.
const HALF: u64 = 2;

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Relation {
    Equal,
    Unequal,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Number,
    NotANumber,
}

impl Relation {
    /// Whether it holds for numbers that are not NaN.
    fn holds(self, a: f64, b: f64) -> bool {
        match self {
            Relation::Equal => a == b,
            Relation::Unequal => a != b,
            Relation::Less => a < b,
            Relation::LessEqual => a <= b,
            Relation::Greater => a > b,
            Relation::GreaterEqual => a >= b,
            Relation::Number => true,
            Relation::NotANumber => false,
        }
    }
}

/// The relation a modifier names, and whether it also holds if an operand is NaN.
fn relation(name: &str) -> Option<(Relation, bool)> {
    use Relation::*;
    Some(match name {
        "eq" => (Equal, false),
        "ne" => (Unequal, false),
        "lt" | "lo" => (Less, false),
        "le" | "ls" => (LessEqual, false),
        "gt" | "hi" => (Greater, false),
        "ge" | "hs" => (GreaterEqual, false),
        "equ" => (Equal, true),
        "neu" => (Unequal, true),
        "ltu" => (Less, true),
        "leu" => (LessEqual, true),
        "gtu" => (Greater, true),
        "geu" => (GreaterEqual, true),
        "num" => (Number, false),
        "nan" => (NotANumber, false),
        _ => return None,
    })
}

/// How a comparison is combined with a predicate.
#[derive(Clone, Copy, PartialEq)]
enum Combine {
    Alone,
    And,
    Or,
    Xor,
}

impl Combine {
    fn from_index(index: u8) -> Self {
        [Combine::Alone, Combine::And, Combine::Or, Combine::Xor][index as usize]
    }

    fn apply(self, compared: u32, other: u32) -> u32 {
        match self {
            Combine::Alone => compared,
            Combine::And => compared & other,
            Combine::Or => compared | other,
            Combine::Xor => compared ^ other,
        }
    }
}

/// What is done with the lanes where the relation holds.
type Finish = fn(&mut Regs, &Inst, u32, u32);

/// All instructions of the family.
pub fn decode(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    match i.opcode {
        "selp" => selp(d, i, w),
        "slct" => slct(d, i, w),
        _ => set(d, i, w),
    }
}

/// Whether one of two numbers is NaN.
fn unordered<T: PartialOrd>(a: T, b: T) -> bool {
    a.partial_cmp(&b).is_none()
}

/// A comparison of type `ty`, of `setp` or of `set`.
fn comparison<const SETP: bool>(how: Relation, or_nan: bool, ty: Type, ftz: bool) -> Option<LaneOp> {
    use Relation::*;
    fn finish<const SETP: bool>(r: &mut Regs, i: &Inst, m: u32, holds: u32) {
        let f: Finish = if SETP { set_predicates } else { set_register };
        f(r, i, m, holds);
    }
    macro_rules! ordered {
        ($T:ty, $get:expr, $test:expr) => {
            Some(|r: &mut Regs, i: &Inst, m: u32| {
                let holds = r.compare::<$T>(i.a, i.b, |a, b| $test($get(a), $get(b)));
                finish::<SETP>(r, i, m, holds);
            })
        };
    }
    macro_rules! float {
        ($T:ty, $get:expr) => {
            match (how, or_nan) {
                (Equal, false) => ordered!($T, $get, |a, b| a == b),
                (Equal, true) => ordered!($T, $get, |a, b| a == b || unordered(a, b)),
                (Unequal, false) => ordered!($T, $get, |a, b| a != b && !unordered(a, b)),
                (Unequal, true) => ordered!($T, $get, |a, b| a != b),
                (Less, false) => ordered!($T, $get, |a, b| a < b),
                (Less, true) => ordered!($T, $get, |a, b| a < b || unordered(a, b)),
                (LessEqual, false) => ordered!($T, $get, |a, b| a <= b),
                (LessEqual, true) => ordered!($T, $get, |a, b| a <= b || unordered(a, b)),
                (Greater, false) => ordered!($T, $get, |a, b| a > b),
                (Greater, true) => ordered!($T, $get, |a, b| a > b || unordered(a, b)),
                (GreaterEqual, false) => ordered!($T, $get, |a, b| a >= b),
                (GreaterEqual, true) => ordered!($T, $get, |a, b| a >= b || unordered(a, b)),
                (Number, _) => ordered!($T, $get, |a, b| !unordered(a, b)),
                (NotANumber, _) => ordered!($T, $get, |a, b| unordered(a, b)),
            }
        };
    }
    match ty {
        Type::F32 if ftz => return float!(f32, flush),
        Type::F32 => return float!(f32, std::convert::identity),
        Type::F64 => return float!(f64, std::convert::identity),
        Type::F16 => return float!(u16, f16::value),
        Type::Bf16 => return float!(u16, bf16::value),
        _ if or_nan => return None,
        _ => {}
    }
    macro_rules! integer {
        ($test:expr) => {
            for_integer!(ty, T => |r: &mut Regs, i: &Inst, m: u32| {
                let holds = r.compare::<T>(i.a, i.b, $test);
                finish::<SETP>(r, i, m, holds);
            })
        };
    }
    match how {
        Equal => integer!(|a, b| a == b),
        Unequal => integer!(|a, b| a != b),
        Less => integer!(|a, b| a < b),
        LessEqual => integer!(|a, b| a <= b),
        Greater => integer!(|a, b| a > b),
        GreaterEqual => integer!(|a, b| a >= b),
        Number | NotANumber => None,
    }
}

/// The predicate that a comparison is combined with.
fn combined_with(r: &Regs, i: &Inst) -> u32 {
    r.pred(i.c) ^ if i.imm & NEGATED != 0 { u32::MAX } else { 0 }
}

fn set_predicates(r: &mut Regs, i: &Inst, m: u32, holds: u32) {
    let combine = Combine::from_index(i.variant);
    if combine == Combine::Alone && i.more.is_empty() {
        return r.set_pred(i.d, m, holds);
    }
    let other = if combine == Combine::Alone { 0 } else { combined_with(r, i) };
    r.set_pred(i.d, m, combine.apply(holds, other));
    if let Some(&second) = i.more.first() {
        r.set_pred(second, m, combine.apply(!holds, other));
    }
}

fn set_register(r: &mut Regs, i: &Inst, m: u32, holds: u32) {
    let combine = Combine::from_index(i.variant);
    let other = if combine == Combine::Alone { 0 } else { combined_with(r, i) };
    let holds = combine.apply(holds, other);
    // `more` says what true is: all ones or 1.0.
    let values = std::array::from_fn(|lane| if holds >> lane & 1 != 0 { u64::from(i.more[0]) } else { 0 });
    r.set_wide(i.d, m, if i.imm & HALF != 0 { 2 } else { 4 }, &values);
}

fn set(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    let setp = i.opcode == "setp";
    let (how, or_nan) = w.needs("comparison", relation)?;
    let combine = w.choice(|word| match word {
        "and" => Some(Combine::And),
        "or" => Some(Combine::Or),
        "xor" => Some(Combine::Xor),
        _ => None,
    });
    let combine = combine.unwrap_or(Combine::Alone);
    let ftz = w.take("ftz");
    let to = if setp { Type::Pred } else { w.ty()? };
    let ty = w.ty()?;
    if matches!(ty, Type::F16x2 | Type::Bf16x2) {
        return set_pairs(d, i, w, Pairs { how, or_nan, combine, to, ty });
    }
    let op = if setp { comparison::<true>(how, or_nan, ty, ftz) } else { comparison::<false>(how, or_nan, ty, ftz) };
    let Some(op) = op else { return w.unsupported() };
    let mut inst = Inst { variant: combine as u8, ..Inst::new(Op::Lanes(op), if ty.is_float() { Class::Float } else { Class::Integer }) };
    let [target, a, b, rest @ ..] = i.operands.as_slice() else { return w.unsupported() };
    match (combine, rest) {
        (Combine::Alone, []) => {}
        (_, [other]) if combine != Combine::Alone => {
            let (slot, negated) = d.predicate(other)?;
            inst.c = slot;
            inst.imm |= if negated { NEGATED } else { 0 };
        }
        _ => return w.unsupported(),
    }
    if let (Operand::Pair(first, second), true) = (target, setp) {
        inst.d = d.destination(&Operand::Name(first), to)?;
        inst.more = [d.destination(&Operand::Name(second), to)?].into();
    } else {
        inst.d = d.destination(target, to)?;
    }
    if !setp {
        let (truth, half) = match to {
            Type::U32 | Type::S32 | Type::B32 => (u32::MAX, false),
            Type::F32 => (1f32.to_bits(), false),
            Type::U16 | Type::S16 => (0xffff, true),
            Type::F16 => (f16::ONE.to_bits().into(), true),
            Type::Bf16 => (bf16::ONE.to_bits().into(), true),
            _ => return w.unsupported(),
        };
        inst.more = [truth].into();
        inst.imm |= if half { HALF } else { 0 };
    }
    (inst.a, inst.b) = (d.source(a, ty)?, d.source(b, ty)?);
    d.emit(inst);
    Ok(())
}

/// A comparison of pairs of halves.
struct Pairs {
    how: Relation,
    or_nan: bool,
    combine: Combine,
    to: Type,
    ty: Type,
}

/// `setp` and `set` of pairs: the low halves give the first predicate or the low half of the result.
fn set_pairs(d: &mut Decoder, i: &Instruction, w: &mut Words, form: Pairs) -> Result<()> {
    const RELATIONS: [Relation; 8] = {
        use Relation::*;
        [Equal, Unequal, Less, LessEqual, Greater, GreaterEqual, Number, NotANumber]
    };
    /// Bits of `imm` above the flags of a scalar comparison.
    const OR_NAN: u64 = 4;
    const BRAIN: u64 = 8;
    fn compared(r: &Regs, i: &Inst, shift: u32) -> u32 {
        let value = |word: u32| if i.imm & BRAIN != 0 { bf16::value((word >> shift) as u16) } else { f16::value((word >> shift) as u16) };
        let relation = RELATIONS[(i.imm >> 8) as usize];
        let holds = r.compare::<u32>(i.a, i.b, |a, b| match (value(a), value(b)) {
            (a, b) if unordered(a, b) => i.imm & OR_NAN != 0 || relation == Relation::NotANumber,
            (a, b) => relation.holds(a, b),
        });
        let combine = Combine::from_index(i.variant);
        combine.apply(holds, if combine == Combine::Alone { 0 } else { combined_with(r, i) })
    }
    let [target, a, b, rest @ ..] = i.operands.as_slice() else { return w.unsupported() };
    let (c, negated) = match (form.combine, rest) {
        (Combine::Alone, []) => (0, false),
        (_, [other]) if form.combine != Combine::Alone => d.predicate(other)?,
        _ => return w.unsupported(),
    };
    let (to, more, op): (u32, Vec<u32>, LaneOp) = match (target, form.to) {
        (Operand::Pair(low, high), Type::Pred) => {
            let op: LaneOp = |r, i, m| {
                let (low, high) = (compared(r, i, 0), compared(r, i, 16));
                r.set_pred(i.d, m, low);
                r.set_pred(i.more[0], m, high);
            };
            (d.destination(&Operand::Name(low), Type::Pred)?, vec![d.destination(&Operand::Name(high), Type::Pred)?], op)
        }
        (_, to) if to == form.ty => {
            let op: LaneOp = |r, i, m| {
                let (low, high) = (compared(r, i, 0), compared(r, i, 16));
                let one = |holds: u32, lane: usize| if holds >> lane & 1 != 0 { i.more[0] } else { 0 };
                r.set(i.d, m, &std::array::from_fn::<u32, LANES, _>(|lane| one(low, lane) | one(high, lane) << 16));
            };
            let one = if to == Type::F16x2 { f16::ONE.to_bits() } else { bf16::ONE.to_bits() };
            (d.destination(target, to)?, vec![one.into()], op)
        }
        _ => return w.unsupported(),
    };
    let flag = |set: bool, bit| if set { bit } else { 0 };
    let relation = RELATIONS.iter().position(|relation| *relation == form.how).expect("all are listed") as u64;
    let inst = Inst {
        d: to,
        a: d.source(a, form.ty)?,
        b: d.source(b, form.ty)?,
        c,
        more: more.into(),
        variant: form.combine as u8,
        imm: relation << 8 | flag(negated, NEGATED) | flag(form.or_nan, OR_NAN) | flag(form.ty == Type::Bf16x2, BRAIN),
        ..Inst::new(Op::Lanes(op), Class::Float)
    };
    d.emit(inst);
    Ok(())
}

/// `selp`: a where the predicate holds, else b.
fn selp(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    fn select<T: crate::exec::Lane>(r: &mut Regs, i: &Inst, m: u32)
    where
        crate::exec::Row<T>: bytemuck::Pod,
    {
        let holds = combined_with(r, i);
        let (a, b) = (r.get::<T>(i.a), r.get::<T>(i.b));
        let values = std::array::from_fn(|lane| if holds >> lane & 1 != 0 { a[lane] } else { b[lane] });
        r.set(i.d, m, &values);
    }
    let ty = w.ty()?;
    let [to, a, b, predicate] = i.operands.as_slice() else { return w.unsupported() };
    let op: LaneOp = match ty.bytes() {
        _ if ty == Type::Pred => return w.unsupported(),
        2 => select::<u16>,
        4 => select::<u32>,
        8 => select::<u64>,
        _ => return w.unsupported(),
    };
    let (slot, negated) = d.predicate(predicate)?;
    let inst = Inst {
        d: d.destination(to, ty)?,
        a: d.source(a, ty)?,
        b: d.source(b, ty)?,
        c: slot,
        imm: if negated { NEGATED } else { 0 },
        ..Inst::new(Op::Lanes(op), Class::Move)
    };
    d.emit(inst);
    Ok(())
}

/// `slct`: a where c ≥ 0, else b.
fn slct(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    let ftz = w.take("ftz");
    let (ty, by) = (w.ty()?, w.ty()?);
    fn nonnegative(r: &Regs, i: &Inst) -> [bool; LANES] {
        match i.variant {
            0 => r.get::<i32>(i.c).map(|c| c >= 0),
            1 => r.get::<f32>(i.c).map(|c| c >= 0.0),
            _ => r.get::<f32>(i.c).map(|c| flush(c) >= 0.0),
        }
    }
    let op: LaneOp = match ty.bytes() {
        2 | 4 | 8 => |r, i, m| {
            let bytes = i.imm as usize;
            let (a, b, first) = (r.get_wide(i.a, bytes), r.get_wide(i.b, bytes), nonnegative(r, i));
            r.set_wide(i.d, m, bytes, &std::array::from_fn(|lane| if first[lane] { a[lane] } else { b[lane] }));
        },
        _ => return w.unsupported(),
    };
    let variant = match (by, ftz) {
        (Type::S32, false) => 0,
        (Type::F32, false) => 1,
        (Type::F32, true) => 2,
        _ => return w.unsupported(),
    };
    emit(d, i, op, Class::Move, ty, &[ty, ty, by])?;
    let last = d.code.last_mut().expect("just emitted");
    (last.variant, last.imm) = (variant, ty.bytes() as u64);
    Ok(())
}
