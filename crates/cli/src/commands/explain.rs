//! `sealock explain`

use std::fmt::Write as _;

use sealock_trust::reason::{self, Code};
use serde::Serialize;

use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::ui::Table;

/// Say what a reason code means, and what to do
///
/// Every refusal carries a reason code, as in `error[SIG]: …`. Without CODE, lists them all.
#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    /// The code, like SIG
    code: Option<String>,
}

#[derive(Serialize)]
struct Explanation {
    code: &'static str,
    meaning: &'static str,
    cause: &'static str,
    remedy: &'static str,
}

impl From<Code> for Explanation {
    fn from(code: Code) -> Self {
        Self { code: code.as_str(), meaning: code.meaning(), cause: code.cause(), remedy: code.remedy() }
    }
}

pub fn run(args: &ExplainArgs, context: &Context) -> Result<()> {
    let Some(text) = &args.code else {
        return list(context);
    };
    let code = reason::find(text).ok_or_else(|| unknown(text))?;
    let value = Explanation::from(code);
    let text =
        format!("{}: {}\n\nUsual cause: {}\n\nWhat to do: {}", value.code, value.meaning, value.cause, value.remedy);
    context.ui.result(&value, text)
}

fn list(context: &Context) -> Result<()> {
    let mut table = Table::new(["code", "meaning"]);
    for code in sorted() {
        table.row([code.as_str().into(), code.meaning().into()]);
    }
    let all: Vec<Explanation> = sorted().into_iter().map(Explanation::from).collect();
    context.ui.result(&all, table)
}

fn unknown(text: &str) -> CommandError {
    CommandError::usage(format!("there is no reason code `{text}`")).hint("`sealock explain` lists them all.")
}

fn sorted() -> Vec<Code> {
    let mut codes = Code::ALL.to_vec();
    codes.sort_by_key(|code| code.as_str());
    codes
}

/// The page `docs/reference/reason-codes.md`.
pub fn reference() -> String {
    let mut page = String::from(
        "# Reason codes\n\n<!-- Made from the table in crates/trust/src/reason.rs by `cargo xtask codegen`. -->\n\n\
         Every refusal carries one of these codes and exit code 3. `sealock explain CODE` says the same.\n",
    );
    for code in sorted() {
        let _ = write!(
            page,
            "\n## {code}\n\n{}\n\n- **Usual cause:** {}\n- **What to do:** {}\n",
            code.meaning(),
            code.cause(),
            code.remedy()
        );
    }
    page
}
