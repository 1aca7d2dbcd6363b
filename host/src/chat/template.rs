//! How a model's conversations are written: a template in the language of Jinja that comes with the model, as transformers renders it.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, Value, context};
use serde::Serialize;

use super::bounded;
use super::python_json::tojson;
use crate::data::StoredTokenizer;
use crate::{Error, Result};

/// Steps of a template, of which each 64 bytes of text that it makes are one too: 32 MB in all. A conversation of a thousand turns does not need them.
const FUEL: u64 = 500_000;
/// Bytes of the stack on which a template runs: lists in lists may be as deep as there is fuel, and are dropped one within the other.
const STACK: usize = 256 << 20;
/// Bytes of a template; those of published models have a tenth of it.
const MOST: usize = 1 << 20;
const NAME: &str = "template";
const HINT: &str = "`generate` continues any text without a template";

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Says what the conversation is like.
    System,
    /// Asks.
    User,
    /// The model.
    Assistant,
}

/// What somebody says.
#[derive(Clone, Debug, Serialize)]
pub struct Message {
    /// Who.
    pub role: Role,
    /// What.
    pub content: String,
    /// What the model thought before it, where a conversation has that apart and the template writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
}

impl Message {
    /// Somebody says something.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), reasoning_content: None }
    }
}

/// A model's template.
pub struct ChatTemplate {
    environment: Environment<'static>,
    /// For messages.
    subject: String,
    ends: [Option<String>; 2],
}

impl ChatTemplate {
    /// The template of this source; `ends` are the names of the tokens that begin and end a text ([`StoredTokenizer::ends`]).
    ///
    /// # Errors
    /// Bad input for what is no template.
    pub fn new(source: &str, ends: [Option<String>; 2], subject: String) -> Result<Self> {
        if source.len() > MOST {
            return Err(Error::bad_input(subject, format!("a template of at most {MOST} bytes"), source.len(), HINT));
        }
        let mut environment = Environment::new();
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().expect("the usual delimiters"));
        environment.set_fuel(Some(FUEL));
        bounded::install(&mut environment);
        environment.add_filter("tojson", tojson);
        environment.add_function("raise_exception", |message: String| -> Result<Value, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
        });
        set_clock(&mut environment, jiff::ZonedDateTime::now);
        let added = environment.add_template_owned(NAME, without_generation(source));
        added.map_err(|error| Error::bad_input(&subject, "a template in the language of Jinja", error, HINT))?;
        Ok(Self { environment, subject, ends })
    }

    /// The template of a model with such a tokenizer.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of(source: &str, tokenizer: &StoredTokenizer, path: &str) -> Result<Self> {
        Self::new(source, tokenizer.ends(), format!("the chat template of {path}"))
    }

    /// The template at a time that stands still, so that it writes the same on all days: that of Llama 3.2 where it is told none.
    pub fn at_fixed_time(mut self) -> Self {
        set_clock(&mut self.environment, || jiff::civil::date(2024, 7, 26).to_zoned_datetime(jiff::tz::TimeZone::UTC).expect("a date"));
        self
    }

    /// The conversation as the model reads it, with the beginning of its answer if that is wanted.
    ///
    /// # Errors
    /// Bad input where the template refuses it, as some do a message of the system.
    pub fn render(&self, messages: &[Message], is_answered: bool) -> Result<String> {
        let [bos_token, eos_token] = &self.ends;
        let context = context! {
            messages => Value::from(Serde(messages)),
            tools => (),
            documents => (),
            add_generation_prompt => is_answered,
            bos_token => bos_token.as_deref().unwrap_or_default(),
            eos_token => eos_token.as_deref().unwrap_or_default(),
        };
        let template = self.environment.get_template(NAME).expect("the template that was added");
        let rendered = std::thread::scope(|scope| {
            // Values of a template, its errors among them, are dropped on its stack.
            let render = || template.render(context).map_err(|error| error.to_string());
            let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, render).map_err(|error| error.to_string())?;
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        rendered.map_err(|error| Error::bad_input(&self.subject, "a template that takes this conversation", error, HINT))
    }
}

/// What the template is told of the time.
fn set_clock(environment: &mut Environment<'static>, now: impl Fn() -> jiff::ZonedDateTime + Send + Sync + 'static) {
    environment.add_function("strftime_now", move |format: String| {
        let now = jiff::fmt::strtime::format(format, &now());
        now.map_err(|error| minijinja::Error::new(ErrorKind::InvalidOperation, error.to_string()))
    });
}

/// The template without the tag `generation`, by which transformers marks what a model wrote, and which Jinja does not have.
fn without_generation(source: &str) -> String {
    let mut parts = source.split("{%");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str("{%");
        let (sign, tag) = part.split_at(part.len() - part.trim_start_matches(['-', '+']).len());
        let end = tag.find("%}").unwrap_or(tag.len());
        let name = tag[..end].trim_end_matches(['-', '+']).trim();
        let other = match name {
            "generation" => "if true",
            "endgeneration" => "endif",
            _ => {
                plain.push_str(part);
                continue;
            }
        };
        plain.push_str(sign);
        plain.push_str(&tag.replacen(name, other, 1).replacen(other, &format!(" {other} "), 1));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ChatML, as SmolLM2 has it.
    const CHATML: &str = "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nBe brief.<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

    fn message(role: Role, content: &str) -> Message {
        Message::new(role, content)
    }

    fn template(source: &str) -> Result<ChatTemplate> {
        ChatTemplate::new(source, [Some("<s>".into()), Some("</s>".into())], "the chat template of m".into())
    }

    fn rendered(source: &str) -> Result<String> {
        template(source)?.render(&[message(Role::User, " Hi {{ x }} "), message(Role::Assistant, "Ho")], true)
    }

    #[test]
    fn a_conversation_is_written_as_the_model_reads_it() {
        let chatml = template(CHATML).unwrap();
        let hello = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n";
        assert_eq!(chatml.render(&[message(Role::User, "Hi")], true).unwrap(), hello);
        let own = chatml.render(&[message(Role::System, "S"), message(Role::User, "Hi")], false).unwrap();
        assert_eq!(own, "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n");
    }

    #[test]
    fn what_templates_use_of_python_is_there() {
        for (source, expected) in [
            ("{{ bos_token }}{{ messages[0].content.strip() }}{{ eos_token }}", "<s>Hi {{ x }}</s>"),
            ("{{ messages[0]['content'] | trim }}", "Hi {{ x }}"),
            ("{{ messages[0].content.split(' ')[1].upper() }}", "HI"),
            ("{{ messages[1] | tojson }}", r#"{"role": "assistant", "content": "Ho"}"#),
            ("{{ {'a': [1, 'é<']} | tojson(indent=2) }}", "{\n  \"a\": [\n    1,\n    \"é<\"\n  ]\n}"),
            ("{% if tools is defined %}1{% else %}2{% endif %}{% if tools is none and not documents %}3{% endif %}", "13"),
            ("{%- for m in messages %}\n  {%- if loop.last %}\n    {%- break %}\n  {%- endif %}\n{{ m.role }}\n{% endfor -%}\n", "user\n"),
            ("{% set ns = namespace(found=false) %}{% for m in messages %}{% set ns.found = true %}{% endfor %}{{ ns.found }}", "True"),
            ("a {%- generation %}{{ messages[1].content }}{%endgeneration-%} b", "aHob"),
            ("{% macro f(x) %}[{{ x }}]{% endmacro %}{{ f(messages | length) }}", "[2]"),
            ("{{ messages[::-1][0].role }}", "assistant"),
            ("{{ messages | join(', ', attribute='role') }}", "user, assistant"),
            ("{{ [1, 'a', none] | join }}{{ '-'.join(['x', 'y']) }}", "1aNonex-y"),
            ("{{ [1, 'a', true] }}{{ 5 | string }}", "[1, 'a', True]5"),
            ("{{ '%s is %03d' | format('it', 7) }} {{ '{} {:>3}'.format(1, 'b') }}", "it is 007 1   b"),
            ("{% set n = namespace(a=[]) %}{% for i in range(50000) %}{% set n.a = [n.a] %}{% endfor %}deep", "deep"),
        ] {
            assert_eq!(rendered(source).unwrap(), expected, "{source}");
        }
        let year: u32 = rendered("{{ strftime_now('%Y') }}").unwrap().parse().unwrap();
        assert!(year >= 2024, "{year}");
    }

    #[test]
    fn what_a_template_refuses_is_said() {
        for (source, part) in [
            ("{{ raise_exception('Only user and assistant roles are supported') }}", "Only user and assistant roles"),
            ("{% for %}", "template"),
            ("{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}", "fuel"),
            ("{{ 'a' * 100000000000 }}", "fuel"),
            ("{% set n = namespace(a='aaaaaaaa') %}{% for i in range(60) %}{% set n.a = n.a ~ n.a %}{% endfor %}", "fuel"),
            ("{% set n = namespace(a='aaaaaaaa') %}{% for i in range(60) %}{% set n.a = n.a + n.a %}{% endfor %}", "fuel"),
            ("{% set n = namespace(a='aaaaaaaa') %}{% for i in range(60) %}{% set n.a = n.a.replace('a', n.a) %}{% endfor %}", "fuel"),
            ("{% set n = namespace(a='aaaaaaaa') %}{% for i in range(60) %}{% set n.a = n.a | replace('a', n.a) %}{% endfor %}", "fuel"),
            ("{% set n = namespace(a='aa') %}{% for i in range(60) %}{% set n.a %}{{ n.a }}{{ n.a }}{% endset %}{% endfor %}", "fuel"),
            ("{% set a = 'a' * 1000000 %}{{ ([a] * 1000000) | join }}", "fuel"),
            ("{% set a = 'a' * 1000000 %}{{ ''.join([a] * 1000000) }}", "fuel"),
            ("{% set a = 'a' * 1000000 %}{% for i in range(100000) %}{{ a }}{% endfor %}", "fuel"),
            ("{% set a = 'a' * 1000000 %}{{ ([a] * 1000000) | tojson }}", "fuel"),
            ("{% set n = namespace(a=[1]) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% endfor %}{{ n.a }}", "fuel"),
            ("{% set n = namespace(a=[1]) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% endfor %}{{ n.a | string }}", "fuel"),
            ("{% set n = namespace(a=[1]) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% endfor %}{{ n.a | tojson }}", "fuel"),
            (
                "{% set n = namespace(a=[1]) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% endfor %}{{ '%s' | format(n.a) }}",
                "fuel",
            ),
            ("{{ '{:1000000000000}'.format(1) }}", "wider"),
            ("{{ '%1000000000d' | format(1) }}", "wider"),
            ("{{ strftime_now('%') }}", "template"),
            ("{% include 'other' %}", "other"),
            ("{{ none.x.y }}", "template"),
        ] {
            let error = rendered(source).expect_err(source);
            assert_eq!(error.exit_code(), 2);
            let text = error.to_string();
            assert!(text.contains(part) && text.contains("the chat template of m") && text.contains("generate"), "{source}: {text}");
        }
        assert!(template(&" ".repeat(MOST + 1)).is_err());
    }
}
