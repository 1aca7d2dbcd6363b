//! A recursive-descent parser of PTX: the module, its functions and its variables.

use super::token::{Token, tokens};
use super::*;

pub(super) type Result<T> = std::result::Result<T, PtxError>;

/// Parses the PTX text of one module.
///
/// # Errors
/// A text that is no PTX, with the line.
pub fn parse(source: &str) -> Result<Module<'_>> {
    let mut parser = Parser { tokens: tokens(source)?, at: 0 };
    let mut module = Module::default();
    while parser.peek().is_some() {
        parser.module_item(&mut module)?;
    }
    // A function may be declared before it is defined.
    let defined: Vec<&str> = module.functions.iter().filter(|function| function.body.is_some()).map(|function| function.name).collect();
    module.functions.retain(|function| function.body.is_some() || !defined.contains(&function.name));
    if module.version == (0, 0) {
        return refuse(1, "a PTX module begins with .version");
    }
    Ok(module)
}

/// The tokens, and how far they have been read.
pub(super) struct Parser<'s> {
    tokens: Vec<(Token<'s>, u32)>,
    pub(super) at: usize,
}

impl<'s> Parser<'s> {
    pub(super) fn peek(&self) -> Option<Token<'s>> {
        self.peek_at(0)
    }

    pub(super) fn peek_at(&self, ahead: usize) -> Option<Token<'s>> {
        self.tokens.get(self.at + ahead).map(|&(token, _)| token)
    }

    pub(super) fn line(&self) -> u32 {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |&(_, line)| line)
    }

    pub(super) fn next(&mut self) -> Result<Token<'s>> {
        let token = self.peek();
        let line = self.line();
        self.at += 1;
        token.map_or_else(|| refuse(line, "the text ends in the middle of a statement"), Ok)
    }

    /// Skips the mark if it comes next.
    pub(super) fn eat(&mut self, mark: u8) -> bool {
        let found = self.peek() == Some(Token::Mark(mark));
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, mark: u8) -> Result<()> {
        if self.eat(mark) { Ok(()) } else { self.unexpected(&format!("`{}`", mark as char)) }
    }

    pub(super) fn unexpected<T>(&self, expected: &str) -> Result<T> {
        let found = self.peek().map_or("the end".to_string(), |token| format!("{token:?}"));
        refuse(self.line(), format!("expected {expected}, found {found}"))
    }

    pub(super) fn name(&mut self) -> Result<&'s str> {
        match self.peek() {
            Some(Token::Name(name)) => {
                self.at += 1;
                Ok(name)
            }
            _ => self.unexpected("a name"),
        }
    }

    pub(super) fn dot(&mut self) -> Option<&'s str> {
        let Some(Token::Dot(word)) = self.peek() else { return None };
        self.at += 1;
        Some(word)
    }

    /// Skips `.word` if it comes next.
    pub(super) fn eat_dot(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(Token::Dot(word));
        self.at += usize::from(found);
        found
    }

    pub(super) fn integer(&mut self) -> Result<u64> {
        match self.constant()? {
            Value::Integer(value) => Ok(value),
            _ => refuse(self.line(), "expected an integer"),
        }
    }

    /// `item, item, … end`; the opening mark is already taken.
    pub(super) fn list<T>(&mut self, end: u8, mut item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut items = Vec::new();
        while !self.eat(end) {
            items.push(item(self)?);
            if !self.eat(b',') {
                self.expect(end)?;
                break;
            }
        }
        Ok(items)
    }

    pub(super) fn skip_to(&mut self, end: u8) -> Result<()> {
        while self.next()? != Token::Mark(end) {}
        Ok(())
    }

    fn module_item(&mut self, module: &mut Module<'s>) -> Result<()> {
        let line = self.line();
        let Some(word) = self.dot() else { return self.unexpected("a directive") };
        match word {
            "version" => {
                let Token::Double(bits) = self.next()? else { return refuse(line, ".version: expected major.minor") };
                let tenths = (f64::from_bits(bits) * 10.0).round() as u32;
                module.version = (tenths / 10, tenths % 10);
            }
            "target" => {
                module.target = self.name()?;
                while self.eat(b',') {
                    self.name()?;
                }
            }
            "address_size" => {
                if self.integer()? != 64 {
                    return refuse(line, ".address_size: only 64 is supported");
                }
            }
            "file" => self.file()?,
            "section" => {
                self.at += 1;
                self.expect(b'{')?;
                self.skip_to(b'}')?;
            }
            "pragma" => self.skip_to(b';')?,
            _ => {
                self.at -= 1;
                self.definition(module)?;
            }
        }
        Ok(())
    }

    /// `.file index "name" [, timestamp, size]`.
    fn file(&mut self) -> Result<()> {
        self.integer()?;
        self.next()?;
        while self.eat(b',') {
            self.integer()?;
        }
        Ok(())
    }

    /// A function or a variable, with its linkage.
    fn definition(&mut self, module: &mut Module<'s>) -> Result<()> {
        let mut external = false;
        while let Some(Token::Dot(word @ ("visible" | "extern" | "weak" | "common"))) = self.peek() {
            external |= word == "extern";
            self.at += 1;
        }
        if self.eat_dot("entry") {
            module.functions.push(self.function(true)?);
        } else if self.eat_dot("func") {
            module.functions.push(self.function(false)?);
        } else {
            let variables = self.variables(external)?;
            module.variables.extend(variables);
        }
        Ok(())
    }

    fn function(&mut self, entry: bool) -> Result<Function<'s>> {
        let line = self.line();
        self.eat_dot("noreturn");
        let returns = if self.eat(b'(') { self.list(b')', Self::parameter)? } else { Vec::new() };
        let name = self.name()?;
        let params = if self.eat(b'(') { self.list(b')', Self::parameter)? } else { Vec::new() };
        let mut function = Function { name, entry, returns, params, max_threads: None, required_threads: None, body: None, line };
        while let Some(word) = self.dot() {
            self.performance_directive(word, &mut function)?;
        }
        if !self.eat(b';') {
            self.expect(b'{')?;
            function.body = Some(self.block()?);
        }
        Ok(function)
    }

    fn performance_directive(&mut self, word: &str, function: &mut Function<'s>) -> Result<()> {
        match word {
            "noreturn" => {}
            "maxntid" | "reqntid" => {
                let mut size = [1; 3];
                size[0] = self.integer()? as u32;
                for more in &mut size[1..] {
                    if self.eat(b',') {
                        *more = self.integer()? as u32;
                    }
                }
                function.max_threads = Some(size.iter().product());
                if word == "reqntid" {
                    function.required_threads = Some(size);
                }
            }
            "minnctapersm" | "maxnctapersm" | "maxnreg" => {
                self.integer()?;
            }
            "pragma" => self.skip_to(b';')?,
            _ => return refuse(self.line(), format!("directive .{word} is not supported")),
        }
        Ok(())
    }

    /// One formal parameter of a function.
    fn parameter(&mut self) -> Result<Variable<'s>> {
        match self.dot() {
            Some("param") => self.variable_tail(Space::Param, false),
            Some("reg") => refuse(self.line(), "parameters in registers are not supported: declare them as .param"),
            _ => self.unexpected(".param"),
        }
    }

    /// `.space … name, name, …;`.
    pub(super) fn variables(&mut self, external: bool) -> Result<Vec<Variable<'s>>> {
        let line = self.line();
        let word = self.dot().unwrap_or_default();
        let Some(space) = Space::from_name(word) else { return refuse(line, format!("directive .{word} is not supported")) };
        let mut found = vec![self.variable_tail(space, external)?];
        while self.eat(b',') {
            let mut next = Variable { initial: Vec::new(), ..found[0].clone() };
            self.declarator(&mut next, 1)?;
            found.push(next);
        }
        self.expect(b';')?;
        Ok(found)
    }

    /// What follows the space of a variable: alignment, vector, type, name, dimensions, initial values.
    fn variable_tail(&mut self, space: Space, external: bool) -> Result<Variable<'s>> {
        let line = self.line();
        let (mut align, mut width, mut element) = (0, 1, None);
        while let Some(word) = self.dot() {
            match word {
                "align" => {
                    let given = self.integer()? as usize;
                    align = if element.is_none() { given } else { align };
                }
                "v2" => width = 2,
                "v4" => width = 4,
                // Attributes of a pointer parameter say where it points to.
                "ptr" | "global" | "const" | "shared" | "local" if element.is_some() => {}
                _ => match Type::from_name(word) {
                    Some(ty) => element = Some(ty),
                    None => return refuse(line, format!("variable attribute .{word} is not supported")),
                },
            }
        }
        let Some(element) = element else { return refuse(line, "a variable needs a type") };
        if align == 0 {
            align = element.bytes() * width;
        }
        let mut variable = Variable { space, name: "", element, count: width, align, external, initial: Vec::new(), line };
        self.declarator(&mut variable, width)?;
        Ok(variable)
    }

    fn declarator(&mut self, variable: &mut Variable<'s>, width: usize) -> Result<()> {
        variable.name = self.name()?;
        variable.count = width;
        let mut open = false;
        while self.eat(b'[') {
            open |= self.eat(b']');
            if !open {
                variable.count *= self.integer()? as usize;
                self.expect(b']')?;
            }
        }
        if self.eat(b'=') {
            self.initial(&mut variable.initial)?;
        }
        if open {
            variable.count = variable.initial.len();
        }
        Ok(())
    }

    fn initial(&mut self, values: &mut Vec<Initial<'s>>) -> Result<()> {
        if self.eat(b'{') {
            self.list(b'}', |parser| parser.initial(values))?;
            return Ok(());
        }
        if let Some(Token::Name(_)) = self.peek() {
            values.push(self.address(None)?);
            return Ok(());
        }
        match (self.constant()?, self.peek()) {
            (Value::Integer(mask), Some(Token::Mark(b'('))) => {
                self.at += 1;
                values.push(self.address(Some(mask))?);
                self.expect(b')')?;
            }
            (value, _) => values.push(Initial::Value(value)),
        }
        Ok(())
    }

    /// `name`, `name+8` or `generic(name)+8`.
    fn address(&mut self, mask: Option<u64>) -> Result<Initial<'s>> {
        let mut name = self.name()?;
        if name == "generic" && self.eat(b'(') {
            name = self.name()?;
            self.expect(b')')?;
        }
        Ok(Initial::Address { name, offset: self.offset()?, mask })
    }

    /// `+ 8`, `- 8`, `+-8` or nothing.
    pub(super) fn offset(&mut self) -> Result<u64> {
        match self.peek() {
            Some(Token::Mark(b'+')) => {
                self.at += 1;
                self.integer()
            }
            Some(Token::Mark(b'-')) => self.integer(),
            _ => Ok(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_module_as_llvm_prints_it() {
        let source = r#"
.version 7.0
.target sm_61, debug
.address_size 64
.file 1 "kernel.rs"
.extern .shared .align 16 .b8 dynamic_shared[];
.global .align 4 .u32 table[4] = {1, -2, 0x10};
.global .align 8 .u64 pointers[2] = {generic(table), table+4};
	// -- Begin function helper
.func  (.param .b32 func_retval0) helper(.param .align 4 .b8 helper_param_0[8]) .noreturn ;
.visible .entry k(
	.param .u64 .ptr .global .align 4 k_param_0,
	.param .u32 k_param_1
)
.maxntid 128, 1, 1
{
	.reg .pred 	%p<2>;
	.reg .b32 	%r<3>;
	.loc	1 10 5
$L__BB0_1:
	@!%p1 bra 	$L__BB0_1;
	ld.global.nc.v2.u32 	{%r1, %r2}, [%rd1+-8];
	{ // callseq 0, 0
	.param .align 4 .b8 param0[8];
	call.uni (retval0), helper, (param0);
	}
	setp.lt.and.s32 %p0|%p1, %r1, (1 << 3) + 1, !%p1;
	ret;
}
"#;
        let module = parse(source).unwrap();
        assert_eq!((module.version, module.target), ((7, 0), "sm_61"));
        assert_eq!(module.variables.iter().map(Variable::bytes).collect::<Vec<_>>(), [0, 16, 16]);
        assert_eq!(module.variables[1].initial.len(), 3);
        let kernel = &module.functions[1];
        assert_eq!((kernel.name, kernel.max_threads, kernel.params.len()), ("k", Some(128), 2));
        let Some([_, _, _, _, Statement::Instruction(load), Statement::Block(call), Statement::Instruction(setp), _]) =
            kernel.body.as_deref()
        else {
            panic!("{:#?}", kernel.body)
        };
        assert_eq!((load.full_name().as_str(), load.line), ("ld.global.nc.v2.u32", 22));
        assert_eq!(load.operands[1], Operand::Address(Box::new(Operand::Name("%rd1")), -8i64 as u64));
        assert_eq!(call.len(), 2);
        assert_eq!(setp.operands[2..], [Operand::Value(Value::Integer(9)), Operand::Not("%p1")]);
    }

    #[test]
    fn says_where_a_text_is_no_ptx() {
        let error = parse(".version 7.0\n.target sm_61\n.entry k() {\n add.u32 ]; }").unwrap_err();
        assert_eq!(error.line, 4);
        assert!(parse(".target sm_61").is_err());
    }
}
