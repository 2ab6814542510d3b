//! `--set` and `--parameters`: values for the parameters of a spec.

use std::path::{Path, PathBuf};

use sealock_bundle::Lock;
use sealock_bundle::document::load_plain;
use sealock_bundle::parameters::{Given, GivenFile, ParameterError, Parameters, Prepared, prepare};

use crate::error::{CommandError, Result};
use crate::files;

#[derive(Debug, clap::Args)]
pub struct ParameterArgs {
    /// The value of a parameter of the spec; may be repeated, and goes before --parameters
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// A YAML file with values of parameters, name by name
    #[arg(long, value_name = "FILE")]
    parameters: Option<PathBuf>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    pair.ok_or_else(|| "a parameter is given as NAME=VALUE".to_owned())
}

impl ParameterArgs {
    /// The spec `text`, the content of `path`, with its parameters filled in.
    pub fn prepare(&self, path: &Path, text: &str, variant: Option<&str>) -> Result<Prepared> {
        let given = Given { variant: variant.map(str::to_owned), file: self.file()?, set: self.set.clone() };
        prepare(path, text, &given).map_err(|error| match error {
            ParameterError::Document(error) => error.into(),
            ParameterError::Given(problem) => CommandError::usage(problem)
                .hint("`--set NAME=VALUE` gives a value, `--parameters FILE` many; the spec declares them under `parameters`."),
        })
    }

    /// Refuses where `lock` was made with other values than these.
    pub fn check(&self, lock: &Lock, path: &Path) -> Result<()> {
        let mut wanted: Vec<(String, String)> = Vec::new();
        if let Some(GivenFile { path, text }) = self.file()? {
            let values: Parameters = load_plain(&path, &text)?;
            wanted.extend(values.into_iter().map(|(name, value)| (name, value.to_string())));
            wanted.retain(|(name, _)| !self.set.iter().any(|(set, _)| set == name));
        }
        wanted.extend(self.set.iter().cloned());
        for (name, value) in wanted {
            let locked = lock.parameters.get(&name).map(ToString::to_string);
            let problem = match locked {
                Some(locked) if locked == value => continue,
                Some(locked) => format!("the lock {} has {name} = {locked}, and not {value}", path.display()),
                None => format!("the lock {} has no parameter {name:?}", path.display()),
            };
            return Err(CommandError::failed(problem).hint(
                "Values are fixed when the spec is locked: give them to `sealock lock`, review the lock, then build.",
            ));
        }
        Ok(())
    }

    fn file(&self) -> Result<Option<GivenFile>> {
        let read = |path: &PathBuf| Ok(GivenFile { path: path.clone(), text: files::read_text(path)? });
        self.parameters.as_ref().map(read).transpose()
    }
}
