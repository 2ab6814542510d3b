//! What became of the Secrets that were looked at.

use std::collections::BTreeMap;

use super::encryption::{ENCRYPTED, Encryption, Opened};
use crate::etcd::Pair;

/// How the API server encrypts, by the backup; or why that cannot be told. Nothing where the backup holds no configuration.
pub(super) type Configured = Option<Result<Encryption, String>>;

/// What it comes to, in words.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// They open.
    Open(String),
    /// There was nothing to open here.
    Absent(String),
}

/// What was found out of them.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    /// How many were looked at.
    pub(super) seen: u64,
    /// Whether there are more than are looked at.
    pub(super) more: bool,
    /// Encrypted, and no configuration is there that could open them.
    sealed: u64,
    /// By what they were opened.
    opened: BTreeMap<String, u64>,
    /// In which service their key is.
    elsewhere: BTreeMap<String, u64>,
    /// How many do not open, and why the first of them does not.
    closed: (u64, Option<String>),
}

impl Secrets {
    /// Looks at one.
    pub(super) fn look(&mut self, pair: &Pair, configured: &Configured) {
        self.seen += 1;
        let Some(Ok(encryption)) = configured else {
            self.sealed += u64::from(pair.value.starts_with(ENCRYPTED));
            return;
        };
        match encryption.open(pair) {
            Ok(Opened::Clear) => {}
            Ok(Opened::By(provider)) => *self.opened.entry(provider).or_default() += 1,
            Ok(Opened::Elsewhere(service)) => *self.elsewhere.entry(service).or_default() += 1,
            Err(why) => {
                let name = String::from_utf8_lossy(&pair.key);
                self.closed.0 += 1;
                self.closed.1.get_or_insert_with(|| format!("{}: {why}", name.escape_default()));
            }
        }
    }

    /// What that comes to; or why they do not open.
    pub(super) fn judge(&self, configured: &Configured) -> Result<Judged, String> {
        if self.more {
            return Err(format!("there are more than {} Secrets, and the others were not looked at", self.seen));
        }
        match configured {
            // Switched off, and not written anew since: nobody could read them.
            None if self.sealed > 0 => Err(format!(
                "{} of {} Secrets are encrypted, and the backup holds no encryption configuration",
                self.sealed, self.seen
            )),
            None => Ok(Judged::Absent("the API server encrypts nothing".into())),
            Some(Err(why)) => Err(why.clone()),
            Some(Ok(_)) => self.opened(),
        }
    }

    fn opened(&self) -> Result<Judged, String> {
        if let (closed, Some(first)) = &self.closed {
            return Err(format!("{closed} of {} Secrets do not open: {first}", self.seen));
        }
        let said = |counts: &BTreeMap<String, u64>| -> Vec<String> {
            counts.iter().map(|(by, count)| format!("{count} by {by}")).collect()
        };
        let elsewhere = said(&self.elsewhere).join(", ");
        match (self.opened.is_empty(), self.elsewhere.is_empty()) {
            (true, true) => Ok(Judged::Absent(format!("none of {} Secrets is encrypted", self.seen))),
            (true, false) => Ok(Judged::Absent(format!(
                "of {} Secrets are encrypted: {elsewhere}, whose key no backup holds",
                self.seen
            ))),
            (false, true) => {
                Ok(Judged::Open(format!("of {} Secrets open: {}", self.seen, said(&self.opened).join(", "))))
            }
            (false, false) => Ok(Judged::Open(format!(
                "of {} Secrets open: {}; and encrypted are {elsewhere}, whose key no backup holds",
                self.seen,
                said(&self.opened).join(", ")
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> Pair {
        Pair { key: format!("/registry/secrets/demo/{name}").into_bytes(), value: value.as_bytes().to_vec().into() }
    }

    fn looked_at(pairs: &[Pair], configured: &Configured) -> Result<Judged, String> {
        let mut secrets = Secrets::default();
        pairs.iter().for_each(|pair| secrets.look(pair, configured));
        secrets.judge(configured)
    }

    #[test]
    fn every_secret_counts_and_the_first_that_does_not_open_is_named() {
        let configured = Some(Encryption::read(b"resources: [{providers: [{aescbc: {keys: []}}]}]"));
        let clear = pair("clear", "k8s\0 an object");
        let elsewhere = pair("kms", "k8s:enc:kms:v2:vault:x");
        let sealed = pair("sealed", "k8s:enc:aescbc:v1:key1:x");
        assert_eq!(looked_at(&[], &None), Ok(Judged::Absent("the API server encrypts nothing".into())));
        let told = |pairs: &[&Pair], configured: &Configured| {
            let pairs: Vec<Pair> =
                pairs.iter().map(|pair| Pair { key: pair.key.clone(), value: pair.value.clone() }).collect();
            looked_at(&pairs, configured)
        };
        assert_eq!(told(&[&clear], &configured), Ok(Judged::Absent("none of 1 Secrets is encrypted".into())));
        let absent = "of 2 Secrets are encrypted: 1 by kms v2, whose key no backup holds".to_owned();
        assert_eq!(told(&[&clear, &elsewhere], &configured), Ok(Judged::Absent(absent)));
        let closed = told(&[&clear, &clear, &clear, &clear, &clear, &sealed], &configured).unwrap_err();
        assert_eq!(
            closed,
            "1 of 6 Secrets do not open: /registry/secrets/demo/sealed: no key key1 of aescbc is in the configuration"
        );
        let unread = told(&[&clear, &sealed], &None).unwrap_err();
        assert_eq!(unread, "1 of 2 Secrets are encrypted, and the backup holds no encryption configuration");
        let unknown = Some(Err("it is no EncryptionConfiguration".to_owned()));
        assert_eq!(told(&[&clear], &unknown).unwrap_err(), "it is no EncryptionConfiguration");
        let more = Secrets { seen: 7, more: true, ..Secrets::default() };
        assert!(more.judge(&configured).unwrap_err().contains("more than 7"));
    }
}
