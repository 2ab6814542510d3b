//! Questions: asked on a terminal only, answered by flags elsewhere.

use std::io::{BufRead, Write};

use super::Ui;
use crate::error::{CommandError, Result};

impl Ui {
    /// Asks `question`; only yes goes on.
    ///
    /// # Errors
    /// The answer is no, or there is nobody to ask and `--yes` was not given.
    pub fn confirm(&self, question: &str) -> Result<()> {
        if self.yes {
            return Ok(());
        }
        if !self.terminal {
            return Err(CommandError::usage(format!("{question} There is no terminal to ask on"))
                .hint("Look at it with --dry-run, then say --yes."));
        }
        write!(std::io::stderr(), "{question} [y/N] ")?;
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer)?;
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(CommandError::failed("nothing was done: the answer was no")),
        }
    }

    /// Asks for a passphrase without showing it.
    ///
    /// # Errors
    /// There is nobody to ask.
    pub fn ask_passphrase(&self, prompt: &str) -> Result<String> {
        if !self.terminal {
            return Err(CommandError::usage("a passphrase is needed, and there is no terminal to ask for it")
                .hint("Give --passphrase-file FILE, or set SEALOCK_PASSPHRASE_FILE."));
        }
        Ok(rpassword::prompt_password(format!("{prompt}: "))?)
    }

    /// Asks for a password without showing it.
    ///
    /// # Errors
    /// There is nobody to ask.
    pub fn ask_password(&self, prompt: &str) -> Result<String> {
        if !self.terminal {
            return Err(CommandError::usage("a password is needed, and there is no terminal to ask for it")
                .hint("Give --password-file FILE."));
        }
        Ok(rpassword::prompt_password(format!("{prompt}: "))?)
    }

    /// Asks for the PIN of a token without showing it.
    ///
    /// # Errors
    /// There is nobody to ask.
    pub fn ask_pin(&self, token: &str) -> Result<String> {
        if !self.terminal {
            let problem = format!("the PIN of the token {token} is needed, and there is no terminal to ask for it");
            return Err(CommandError::usage(problem).hint(
                "Give --passphrase-file FILE, set SEALOCK_PASSPHRASE_FILE, or name the file in the URI: `pin-source`.",
            ));
        }
        Ok(rpassword::prompt_password(format!("PIN of the token {token}: "))?)
    }
}
