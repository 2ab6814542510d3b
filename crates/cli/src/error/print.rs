//! How an error looks.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};

use super::{CommandError, Kind};

const ERROR: Style = AnsiColor::Red.on_default().bold();
const LABEL: Style = Style::new().bold();

/// Prints `error` to standard error and answers its exit code.
pub fn report(error: &CommandError) -> ExitCode {
    if error.kind() != Kind::BrokenPipe {
        // Where standard error is gone as well there is nobody left to tell.
        let _ = anstream::stderr().lock().write_all(render(error).as_bytes());
    }
    ExitCode::from(error.kind().exit_code())
}

fn render(error: &CommandError) -> String {
    let mut text = String::new();
    let chain = error.chain();
    let code = error.code().map(|code| format!("[{code}]")).unwrap_or_default();
    let (first, causes) = chain.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    let _ = writeln!(text, "{ERROR}error{code}{ERROR:#}: {}", indent(first, 2));
    for cause in causes {
        let _ = writeln!(text, "  {LABEL}Caused by{LABEL:#}: {}", indent(cause, 4));
    }
    for hint in hints(error) {
        let _ = writeln!(text, "  {LABEL}Hint{LABEL:#}: {}", indent(&hint, 4));
    }
    text
}

fn hints(error: &CommandError) -> Vec<String> {
    let mut hints = error.hints().to_vec();
    if let Some(code) = error.code() {
        hints.push(format!("`sealock explain {code}` says what this means and what to do."));
    }
    if error.kind() == Kind::Internal {
        hints.push("This is a defect of Sealock. Please report it with the command and this message.".into());
    }
    hints
}

fn indent(text: &str, spaces: usize) -> String {
    text.trim_end().replace('\n', &format!("\n{}", " ".repeat(spaces)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealock_trust::reason::Code;

    #[test]
    fn a_refusal_shows_code_causes_and_hints() {
        let error = CommandError::refused(Code::Sig, "the manifest's signature does not hold")
            .context("importing base-7.tar")
            .hint("Carry it again.");
        let plain = anstream::adapter::strip_str(&render(&error)).to_string();
        insta::assert_snapshot!(plain, @r"
        error[SIG]: importing base-7.tar
          Caused by: the manifest's signature does not hold
          Hint: Carry it again.
          Hint: `sealock explain SIG` says what this means and what to do.
        ");
    }
}
