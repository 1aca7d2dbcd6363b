//! Operands: registers, constants, addresses of variables, special registers.

use super::Result;
use super::context::{Decoder, Symbol};
use crate::exec::program::Special;
use crate::ptx::{Operand, Type, Value};

impl Decoder<'_, '_> {
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
}
