//! `cvt` (ISA manual 9.7.9.21): integers and floating-point numbers, with every rounding and saturation.

use half::{bf16, f16};

use super::Result;
use super::context::Decoder;
use super::float::{Float, flush};
use super::words::Words;
use crate::exact::{self, Format, Round};
use crate::exec::program::{Inst, LaneOp, Op};
use crate::exec::{Regs, Row};
use crate::profile::Class;
use crate::ptx::{Instruction, Type};

const FTZ: u8 = 1;
const SAT: u8 = 2;
const RELU: u8 = 4;
const SATFINITE: u8 = 8;
/// Round to an integer first.
const INTEGRAL: u8 = 16;

/// What an instruction does, as it is kept in `imm`.
#[derive(Clone, Copy)]
struct Form {
    to: Type,
    from: Type,
    /// Bytes of the registers.
    to_bytes: usize,
    from_bytes: usize,
    round: Round,
    flags: u8,
}

impl Form {
    fn pack(self) -> u64 {
        u64::from_le_bytes([self.to as u8, self.from as u8, self.to_bytes as u8, self.from_bytes as u8, self.round as u8, self.flags, 0, 0])
    }

    fn unpack(bits: u64) -> Self {
        let [to, from, to_bytes, from_bytes, round, flags, ..] = bits.to_le_bytes();
        Self {
            to: Type::from_index(to),
            from: Type::from_index(from),
            to_bytes: to_bytes.into(),
            from_bytes: from_bytes.into(),
            round: Round::from_index(round),
            flags,
        }
    }

    fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// `cvt`.
pub fn cvt(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    if w.take("pack") {
        return pack(d, i, w);
    }
    let integral = w.choice(|word| match word {
        "rni" => Some(Round::Nearest),
        "rzi" => Some(Round::Zero),
        "rmi" => Some(Round::Down),
        "rpi" => Some(Round::Up),
        _ => None,
    });
    let round = w.choice(Round::from_name);
    let mut flags = if integral.is_some() { INTEGRAL } else { 0 };
    for (word, flag) in [("ftz", FTZ), ("sat", SAT), ("relu", RELU), ("satfinite", SATFINITE)] {
        flags |= if w.take(word) { flag } else { 0 };
    }
    let (to, from) = (w.ty()?, w.ty()?);
    let round = integral.or(round).unwrap_or(Round::Nearest);
    if matches!(to, Type::F16x2 | Type::Bf16x2) {
        return two_halves(d, i, w, Form { to, from, to_bytes: 4, from_bytes: 4, round, flags });
    }
    let [target, source] = i.operands.as_slice() else { return w.unsupported() };
    let (target, to_bytes) = d.wide_destination(target, to)?;
    let (source, from_bytes) = d.wide_source(source, from)?;
    let form = Form { to, from, to_bytes, from_bytes, round, flags };
    let scalar = |ty: Type| !matches!(ty, Type::B128 | Type::F16x2 | Type::Bf16x2 | Type::Pred);
    if !scalar(to) || !scalar(from) || from == Type::Tf32 {
        return w.unsupported();
    }
    let op: LaneOp = match (from.is_float(), to.is_float()) {
        (false, false) if flags & SAT == 0 => integer_to_integer,
        (false, false) => saturated_integer,
        (false, true) => integer_to_float,
        (true, false) => float_to_integer,
        (true, true) => float_to_float,
    };
    d.emit(Inst { d: target, a: source, imm: form.pack(), ..Inst::new(Op::Lanes(op), Class::Convert) });
    Ok(())
}

/// The values of a type, extended to 64 bits.
fn extend(values: &Row<u64>, ty: Type) -> Row<u64> {
    match ty {
        Type::U8 | Type::B8 => values.map(|value| u64::from(value as u8)),
        Type::U16 | Type::B16 => values.map(|value| u64::from(value as u16)),
        Type::U32 | Type::B32 => values.map(|value| u64::from(value as u32)),
        Type::S8 => values.map(|value| value as i8 as u64),
        Type::S16 => values.map(|value| value as i16 as u64),
        Type::S32 => values.map(|value| value as i32 as u64),
        _ => *values,
    }
}

/// The values of an integer type.
fn integers(values: &Row<u64>, ty: Type) -> Row<i128> {
    let extended = extend(values, ty);
    if ty.is_signed() { extended.map(|value| i128::from(value as i64)) } else { extended.map(i128::from) }
}

/// (least, greatest) value of an integer type.
fn range(ty: Type) -> (i128, i128) {
    let bits = 8 * ty.bytes() as u32;
    if ty.is_signed() { (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) } else { (0, (1 << bits) - 1) }
}

fn integer_to_integer(r: &mut Regs, i: &Inst, m: u32) {
    let form = Form::unpack(i.imm);
    let values = extend(&r.get_wide(i.a, form.from_bytes), form.from);
    r.set_wide(i.d, m, form.to_bytes, &extend(&values, form.to));
}

fn saturated_integer(r: &mut Regs, i: &Inst, m: u32) {
    let form = Form::unpack(i.imm);
    let (least, greatest) = range(form.to);
    let values = integers(&r.get_wide(i.a, form.from_bytes), form.from).map(|value| value.clamp(least, greatest) as u64);
    r.set_wide(i.d, m, form.to_bytes, &extend(&values, form.to));
}

/// The bits of numbers of a floating-point type.
fn encode(values: &Row<f64>, ty: Type) -> Row<u64> {
    match ty {
        Type::F16 => values.map(|value| f16::bits(value).into()),
        Type::Bf16 => values.map(|value| bf16::bits(value).into()),
        Type::F64 => values.map(f64::to_bits),
        _ => values.map(|value| f32::bits(value).to_bits().into()),
    }
}

/// The numbers with these bits.
fn decode(bits: &Row<u64>, ty: Type) -> Row<f64> {
    match ty {
        Type::F16 => bits.map(|bits| f16::value(bits as u16)),
        Type::Bf16 => bits.map(|bits| bf16::value(bits as u16)),
        Type::F64 => bits.map(f64::from_bits),
        _ => bits.map(|bits| f32::from_bits(bits as u32).into()),
    }
}

fn format(ty: Type) -> Format {
    match ty {
        Type::F16 => exact::F16,
        Type::Bf16 => exact::BF16,
        Type::Tf32 => exact::TF32,
        Type::F64 => exact::F64,
        _ => exact::F32,
    }
}

fn integer_to_float(r: &mut Regs, i: &Inst, m: u32) {
    let form = Form::unpack(i.imm);
    let bits = r.get_wide(i.a, form.from_bytes);
    let plain = form.round == Round::Nearest && form.flags == 0;
    let values: Row<f64> = match (form.to, form.from) {
        // Up to 32 bits are exact in f64, so there is one rounding.
        (Type::F32, Type::S32) if plain => bits.map(|value| f64::from(value as u32 as i32 as f32)),
        (Type::F32, Type::U32) if plain => bits.map(|value| f64::from(value as u32 as f32)),
        _ => integers(&bits, form.from).map(|value| exact::from_integer(value, format(form.to), form.round)),
    };
    let values = if form.has(SAT) { values.map(|value| value.clamp(0.0, 1.0)) } else { values };
    r.set_wide(i.d, m, form.to_bytes, &encode(&values, form.to));
}

/// The source of a conversion, with subnormal singles flushed if `.ftz` says so.
fn float_source(r: &Regs, i: &Inst, form: Form) -> Row<f64> {
    let values = decode(&r.get_wide(i.a, form.from_bytes), form.from);
    if form.has(FTZ) && form.from == Type::F32 { values.map(|value| flush(value as f32).into()) } else { values }
}

fn integral(value: f64, round: Round) -> f64 {
    match round {
        Round::Nearest => value.round_ties_even(),
        Round::Zero => value.trunc(),
        Round::Down => value.floor(),
        Round::Up => value.ceil(),
        Round::Away => value.round(),
    }
}

fn float_to_integer(r: &mut Regs, i: &Inst, m: u32) {
    let form = Form::unpack(i.imm);
    let (least, greatest) = range(form.to);
    // NaN becomes 0, and what is too large the nearest value (`as` does both).
    let values = float_source(r, i, form).map(|value| (integral(value, form.round) as i128).clamp(least, greatest) as u64);
    r.set_wide(i.d, m, form.to_bytes, &extend(&values, form.to));
}

fn float_to_float(r: &mut Regs, i: &Inst, m: u32) {
    let form = Form::unpack(i.imm);
    let values = float_source(r, i, form).map(|value| narrowed(value, form));
    r.set_wide(i.d, m, form.to_bytes, &encode(&values, form.to));
}

/// A number in the format, and with the saturation, of the conversion.
fn narrowed(value: f64, form: Form) -> f64 {
    let value = if form.has(INTEGRAL) { integral(value, form.round) } else { value };
    let value = match (form.to, form.round) {
        (Type::F64, _) => value,
        (Type::F32, Round::Nearest) => f64::from(value as f32),
        (Type::F16, Round::Nearest) => f16::from_f32(exact::to_odd_f32(value)).into(),
        _ => exact::convert(value, format(form.to), form.round),
    };
    let largest = exact::convert(f64::MAX, format(form.to), Round::Zero);
    match value {
        _ if form.has(SAT) => {
            if value > 0.0 {
                value.min(1.0)
            } else {
                0.0
            }
        }
        _ if form.has(SATFINITE) && !value.is_nan() => value.clamp(if form.has(RELU) { 0.0 } else { -largest }, largest),
        _ if form.has(RELU) && value <= 0.0 => 0.0,
        _ if form.has(FTZ) && form.to == Type::F32 => flush(value as f32).into(),
        _ => value,
    }
}

/// `cvt.f16x2.f32 d, a, b`: a becomes the high half, b the low one.
fn two_halves(d: &mut Decoder, i: &Instruction, w: &mut Words, form: Form) -> Result<()> {
    let [target, high, low] = i.operands.as_slice() else { return w.unsupported() };
    if form.from != Type::F32 || form.has(SAT) {
        return w.unsupported();
    }
    let half = if form.to == Type::F16x2 { Type::F16 } else { Type::Bf16 };
    let op: LaneOp = |r, i, m| {
        let form = Form::unpack(i.imm);
        let half = |value: f32| {
            if form.to == Type::F16 { f16::bits(narrowed(value.into(), form)) } else { bf16::bits(narrowed(value.into(), form)) }
        };
        r.map2(i, m, |high: f32, low: f32| u32::from(half(high)) << 16 | u32::from(half(low)));
    };
    let inst = Inst {
        d: d.destination(target, form.to)?,
        a: d.source(high, Type::F32)?,
        b: d.source(low, Type::F32)?,
        imm: Form { to: half, ..form }.pack(),
        ..Inst::new(Op::Lanes(op), Class::Convert)
    };
    d.emit(inst);
    Ok(())
}

/// `cvt.pack.sat`: two saturated integers, below them the upper part of a third operand.
fn pack(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    let saturate = w.take("sat");
    let narrow = |word: &str| match word {
        "u16" => Some(Type::U16),
        "s16" => Some(Type::S16),
        "u8" => Some(Type::U8),
        "s8" => Some(Type::S8),
        _ => None,
    };
    let to = w.needs("type", narrow)?;
    let from = w.ty()?;
    let with_third = w.take("b32");
    if !saturate || from != Type::S32 || with_third != (i.operands.len() == 4) || with_third != (to.bytes() == 1) {
        return w.unsupported();
    }
    let op: LaneOp = |r, i, m| {
        let form = Form::unpack(i.imm);
        let (least, greatest) = range(form.to);
        let bits = 8 * form.to.bytes() as u32;
        let narrow = |value: i32| (i128::from(value).clamp(least, greatest) as u32) & ((1 << bits) - 1);
        r.map3(i, m, |a: i32, b: i32, c: u32| {
            let pair = narrow(a) << bits | narrow(b);
            if bits == 8 { c << 16 | pair } else { pair }
        });
    };
    let sources: Vec<u32> = i.operands[1..].iter().map(|operand| d.source(operand, Type::B32)).collect::<Result<_>>()?;
    let form = Form { to, from, to_bytes: 4, from_bytes: 4, round: Round::Zero, flags: 0 };
    let inst = Inst {
        d: d.destination(&i.operands[0], Type::B32)?,
        a: sources[0],
        b: sources[1],
        c: sources.get(2).copied().unwrap_or(sources[0]),
        imm: form.pack(),
        ..Inst::new(Op::Lanes(op), Class::Convert)
    };
    d.emit(inst);
    Ok(())
}
