//! `import model --chat-template`.

use crate::chat::{ChatTemplate, Message, Role};
use crate::data::StoredTokenizer;
use crate::{Error, Result, input};

const FLAG: &str = "--chat-template";

/// ChatML, as many models that answer write it.
const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}\
    {% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/// Names and colons; an answer ends as a text does.
const PLAIN: &str = "{% for message in messages %}{{ message['role'] | capitalize }}: {{ message['content'] }}\
    {% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}";

/// The template that a name or a file stands for, and the token by which it ends an answer, where the model has that end nothing yet.
///
/// # Errors
/// Bad input for what is no template, and for one that does not write what the assistant says, or ends it with no token of the model.
pub(super) fn for_model(name: &str, tokenizer: &StoredTokenizer) -> Result<(String, Option<u32>)> {
    // Where texts begin with a token, conversations do.
    let first = if tokenizer.first_token().is_some() { "{{ bos_token }}" } else { "" };
    let source = match name {
        "chatml" => format!("{first}{CHATML}"),
        "plain" => format!("{first}{PLAIN}"),
        file => input::read_text(file.as_ref(), input::TOKENIZER, "give chatml, plain, or a file in the language of Jinja")?,
    };
    const ANSWER: &str = "An answer.";
    let template = ChatTemplate::new(&source, tokenizer.ends(), format!("{FLAG} {name}"))?;
    let said = template.render(&[Message::new(Role::User, "A question."), Message::new(Role::Assistant, ANSWER)], false)?;
    let Some(at) = said.rfind(ANSWER) else {
        let hint = "see that it writes message['content'] of every role";
        return Err(Error::bad_input(
            format!("{FLAG} {name}"),
            "a template that writes what the assistant says",
            format!("{said:?}"),
            hint,
        ));
    };
    let after = &said[at + ANSWER.len()..];
    let end = tokenizer.encode_controls(after, false).into_iter().find(|&token| tokenizer.is_control(token));
    let Some(end) = end else {
        let hint = if name == "plain" {
            "the model's tokenizer names no token that ends a text: give another model"
        } else {
            "give plain, which ends an answer as the model ends a text, or a template of the model's own control tokens"
        };
        return Err(Error::bad_input(
            format!("{FLAG} {name}"),
            "a control token of the model's tokenizer after an answer",
            format!("{after:?}"),
            hint,
        ));
    };
    Ok((source, (!tokenizer.stop_tokens().contains(&end)).then_some(end)))
}
