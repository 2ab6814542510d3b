//! Checks what is signed with OpenPGP, by the `gpgv` of this machine.

use std::fs;
use std::path::{Path, PathBuf};

use sealock_bundle::lock::{Verdict, VerdictRule};
use sealock_trust::Digest;
use sealock_trust::reason::Code;
use serde_json::Value;

use super::{Context, tools};
use crate::error::FetchError;
use crate::signature::Unfit;
use crate::signature::openpgp::{self, Keyring};

/// The signature of something called `what`, and the keys that must have made it.
pub(super) struct Signed<'a> {
    pub(super) what: &'a str,
    pub(super) keyring: &'a Path,
    pub(super) signature: &'a [u8],
}

/// What an archive has signed.
pub(super) struct Vouched {
    pub(super) text: Vec<u8>,
    /// The fingerprints of the primary keys, sorted.
    pub(super) signers: Vec<String>,
    /// The digest of the file of keys.
    pub(super) keyring: Digest,
}

impl Signed<'_> {
    /// Checks a provenance file, and that it is about `archive`, a file of this name and metadata.
    pub(super) async fn provenance(
        &self,
        context: Context<'_>,
        (file, archive): (&str, &Digest),
        metadata: &Value,
    ) -> Result<Verdict, FetchError> {
        let keyring = self.keyring(context)?;
        if !openpgp::is_clear_text(self.signature) {
            return Err(self.bad(&keyring, Unfit::new(Code::Format, "it is no signed text")));
        }
        let folder = Folder::new(context)?;
        let text = folder.path("text");
        let output = ["--output".to_owned(), text.to_string_lossy().into_owned()];
        let signer = self.check(context, &keyring, (&folder, &output), None).await?;
        let text = fs::read_to_string(&text).map_err(|source| FetchError::io("read", &text, source))?;
        openpgp::is_about_chart(&text, file, archive, metadata).map_err(|unfit| self.bad(&keyring, unfit))?;
        Ok(verdict(&keyring, signer))
    }

    /// Checks a detached signature of the file `data`.
    pub(super) async fn detached(&self, context: Context<'_>, data: &Path) -> Result<Verdict, FetchError> {
        let keyring = self.keyring(context)?;
        let folder = Folder::new(context)?;
        let signer = self.check(context, &keyring, (&folder, &[]), Some(data)).await?;
        Ok(verdict(&keyring, signer))
    }

    /// Checks the index of an archive: a signed text, or the signature of `detached`. Archives are signed by several keys, so that one
    /// can be replaced: those that are not in the keyring do not count, and one that is there is enough.
    pub(super) async fn archive(&self, context: Context<'_>, detached: Option<&[u8]>) -> Result<Vouched, FetchError> {
        let keyring = self.keyring(context)?;
        let folder = Folder::new(context)?;
        let data = detached.map(|bytes| folder.write("data", bytes)).transpose()?;
        let text = folder.path("text");
        let output = ["--output".to_owned(), text.to_string_lossy().into_owned()];
        let output = match detached {
            Some(_) => &[][..],
            None if openpgp::is_clear_text(self.signature) => &output,
            None => return Err(self.bad(&keyring, Unfit::new(Code::Format, "it is no signed text"))),
        };
        let (said, _) = self.ask(context, &keyring, (&folder, output), data.as_deref()).await?;
        let signers = openpgp::judge_several(&said).map_err(|unfit| self.bad(&keyring, unfit))?;
        let text = match detached {
            Some(bytes) => bytes.to_vec(),
            None => fs::read(&text).map_err(|source| FetchError::io("read", &text, source))?,
        };
        Ok(Vouched { text, signers, keyring: keyring.digest })
    }

    fn keyring(&self, context: Context<'_>) -> Result<Keyring, FetchError> {
        Keyring::read(context.request.folder.join(self.keyring))
    }

    async fn check(
        &self,
        context: Context<'_>,
        keyring: &Keyring,
        (folder, output): (&Folder, &[String]),
        data: Option<&Path>,
    ) -> Result<String, FetchError> {
        let (said, ended_well) = self.ask(context, keyring, (folder, output), data).await?;
        // Whatever its words, it must also have ended well.
        let signer = openpgp::judge(&said).and_then(|signer| match ended_well {
            true => Ok(signer),
            false => Err(Unfit::new(Code::Sig, "gpgv does not find it good")),
        });
        signer.map_err(|unfit| self.bad(keyring, unfit))
    }

    /// What `gpgv` reports, and whether it ended well.
    async fn ask(
        &self,
        context: Context<'_>,
        keyring: &Keyring,
        (folder, output): (&Folder, &[String]),
        data: Option<&Path>,
    ) -> Result<(String, bool), FetchError> {
        let keys = folder.write("keyring.gpg", &keyring.keys)?;
        let signature = folder.write("signature", self.signature)?;
        let mut arguments = ["--status-fd", "1", "--weak-digest", "SHA1", "--homedir"].map(str::to_owned).to_vec();
        let text = |path: &Path| path.to_string_lossy().into_owned();
        arguments.extend([text(folder.0.path()), "--keyring".to_owned(), text(&keys)]);
        arguments.extend_from_slice(output);
        arguments.extend(std::iter::once(text(&signature)).chain(data.map(text)));
        let gpgv = tools::find(context, "gpgv");
        let gpgv = gpgv.ok_or_else(|| FetchError::NoTool { tool: "gpgv", asked: self.what.to_owned() })?;
        let program = tools::Program { path: &gpgv, home: folder.0.path(), set: &[], patience: tools::PATIENCE };
        let said = program.output(&arguments).await.map_err(|source| FetchError::io("run", &gpgv, source))?;
        Ok((String::from_utf8_lossy(&said.stdout).into_owned(), said.status.success()))
    }

    fn bad(&self, keyring: &Keyring, unfit: Unfit) -> FetchError {
        let by = openpgp::by(&keyring.file);
        FetchError::BadSignature { image: self.what.to_owned(), by, code: unfit.code, reason: unfit.reason }
    }
}

fn verdict(keyring: &Keyring, fingerprint: String) -> Verdict {
    Verdict { key: Some(keyring.digest.clone()), identity: Some(fingerprint), ..Verdict::new(VerdictRule::Gpg) }
}

/// Where one signature is checked; gone afterwards.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(context: Context<'_>) -> Result<Self, FetchError> {
        let made = tempfile::tempdir_in(context.work);
        made.map(Self).map_err(|source| FetchError::io("make a folder in", context.work, source))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, FetchError> {
        let path = self.path(name);
        fs::write(&path, bytes).map_err(|source| FetchError::io("write", &path, source))?;
        Ok(path)
    }
}
