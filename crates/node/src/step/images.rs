//! Images preloaded into containerd by digest, and pinned.
//!
//! containerd pulls `name@digest` from the site registry and verifies it, or is given an archive that is put together out of a copy
//! of the store; the tag is then given to that digest here, never by
//! the registry. The pin keeps kubelet's garbage collection away. What lies on containerd's disk is hashed at each look ([`content`]).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Act, Image, Images, Probe};
use crate::context::Context;
use crate::error::StepError;
use crate::host::{Command, Host, HostError};
use crate::source::Source;

mod archive;
mod content;

pub(super) use archive::ARCHIVE;
use content::{Content, Damaged};

const NAMESPACE: &str = "k8s.io";
const HOSTS: &str = "/etc/containerd/certs.d";
const PINNED: &str = "io.cri-containerd.pinned=pinned";
const LOAD_TIMEOUT: Duration = Duration::from_secs(30 * 60);

impl Act for Images {
    fn probe(&self, host: &dyn Host, _: &Context<'_>) -> Result<Probe, StepError> {
        self.check()?;
        let Some(listed) = Listed::read(host)? else {
            return Ok(Probe::not_done("containerd does not answer"));
        };
        // First, for of what is damaged containerd says nothing, or too little.
        let mut content = Content::default();
        for image in &self.images {
            if let Some(damaged) = content.damage(host, &image.digest)?.first() {
                return Ok(Probe::not_done(format!("{} is damaged in containerd: {damaged}", image.name)));
            }
        }
        let problem = self.images.iter().find_map(|image| listed.problem(image));
        Ok(problem.map_or(Probe::Done, Probe::not_done))
    }

    fn apply(&self, host: &dyn Host, context: &Context<'_>) -> Result<(), StepError> {
        self.check()?;
        for image in &self.images {
            context.admit(&image.name, &image.digest)?;
        }
        archive::forget(host)?;
        let unanswered = || StepError::Unknown { because: "containerd does not answer".to_owned() };
        let listed = Listed::read(host)?.ok_or_else(unanswered)?;
        let mut content = Content::default();
        let mut missing: Vec<(&Image, Vec<Damaged>)> = Vec::new();
        for image in &self.images {
            let damage = content.damage(host, &image.digest)?;
            if !damage.is_empty() || listed.problem(image).is_some() {
                missing.push((image, damage));
            }
        }
        let copy = match context.source {
            _ if missing.is_empty() => None,
            Some(Source::Store(copy)) => Some(copy),
            _ => {
                // containerd would wrap it in many words that the registry is not there.
                if let Source::Registry(client) = context.source()? {
                    client.ping()?;
                }
                None
            }
        };
        for (n, (image, damage)) in missing.iter().enumerate() {
            (context.progress)(&format!("image {} of {}: {}", n + 1, missing.len(), image.name));
            content::discard(host, damage)?;
            match copy {
                Some(copy) => archive::load(host, copy, image)?,
                None => {
                    if listed.0.contains_key(&by_digest(image)) {
                        complete(host, image)?;
                    }
                    pull(host, image)?;
                }
            }
            name_and_pin(host, image)?;
        }
        let listed = Listed::read(host)?.ok_or_else(unanswered)?;
        for image in &self.images {
            listed.check(image)?;
        }
        Ok(())
    }

    fn undo(&self, host: &dyn Host, _: &Context<'_>) -> Result<(), StepError> {
        let Some(listed) = Listed::read(host)? else { return Ok(()) };
        for image in &self.images {
            let names = [image.name.clone(), by_digest(image)];
            for name in names.iter().filter(|name| listed.0.contains_key(name.as_str())) {
                ctr(["images", "rm", name]).must(host)?;
            }
        }
        Ok(())
    }
}

impl Images {
    fn check(&self) -> Result<(), StepError> {
        for image in &self.images {
            let tagged = image.name.rsplit('/').next().is_some_and(|last| last.contains(':') && !last.contains('@'));
            if !tagged || image.name.starts_with('-') || image.name.contains(char::is_whitespace) {
                return Err(StepError::Invalid { problem: format!("{:?} is not an image with a tag", image.name) });
            }
        }
        Ok(())
    }
}

fn pull(host: &dyn Host, image: &Image) -> Result<(), StepError> {
    ctr(["images", "pull", "--hosts-dir", HOSTS, &by_digest(image)]).timeout(LOAD_TIMEOUT).must(host)?;
    Ok(())
}

/// Fetches what is missing of an image that is there: a pull passes over the layers that are unpacked.
fn complete(host: &dyn Host, image: &Image) -> Result<(), StepError> {
    ctr(["content", "fetch", "--hosts-dir", HOSTS, &by_digest(image)]).timeout(LOAD_TIMEOUT).must(host)?;
    Ok(())
}

fn name_and_pin(host: &dyn Host, image: &Image) -> Result<(), StepError> {
    let source = by_digest(image);
    ctr(["images", "tag", "--force", &source, &image.name]).must(host)?;
    ctr(["images", "label", &source, PINNED]).must(host)?;
    ctr(["images", "label", &image.name, PINNED]).must(host)?;
    Ok(())
}

/// `repository@digest` of an image.
fn by_digest(image: &Image) -> String {
    let repository = image.name.rsplit_once(':').map_or(image.name.as_str(), |(repository, _)| repository);
    format!("{repository}@{}", image.digest)
}

fn ctr<const N: usize>(args: [&str; N]) -> Command {
    Command::new("ctr", ["--namespace", NAMESPACE].into_iter().chain(args))
}

/// An image as containerd holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HeldImage {
    /// Under which name, with its tag.
    pub name: String,
    /// The digest that stands under it.
    pub digest: String,
    /// Whether kubelet's garbage collection leaves it alone.
    pub pinned: bool,
    /// Whether all of it is there, and unpacked.
    pub complete: bool,
}

/// The images that containerd holds under a tag, by name; nothing if it does not answer.
pub(crate) fn held(host: &dyn Host) -> Result<Option<Vec<HeldImage>>, HostError> {
    let Some(listed) = Listed::read(host)? else { return Ok(None) };
    let tagged = listed.0.into_iter().filter(|(name, _)| !name.contains('@') && !name.starts_with("sha256:"));
    let held = |(name, found): (String, Found)| HeldImage {
        name,
        digest: found.digest,
        pinned: found.pinned,
        complete: found.complete,
    };
    Ok(Some(tagged.map(held).collect()))
}

/// What containerd says about its images: name to what it is.
struct Listed(BTreeMap<String, Found>);

struct Found {
    digest: String,
    pinned: bool,
    complete: bool,
}

impl Listed {
    /// Nothing if containerd does not answer.
    fn read(host: &dyn Host) -> Result<Option<Self>, HostError> {
        let output = match host.run(&ctr(["images", "ls"])) {
            Ok(output) if output.status == 0 => output,
            Ok(_) | Err(HostError::NoProgram { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        // Looks for every content store entry: an image whose layers were lost is not complete. Where one cannot be made out, the
        // others are listed all the same, and the failure is that image's.
        let check = host.run(&ctr(["images", "check"]).timeout(Duration::from_secs(300)))?.stdout;
        let complete: BTreeMap<&str, bool> = check.lines().skip(1).filter_map(parse_check).collect();
        let images = output.stdout.lines().skip(1).filter_map(parse_listed).map(|(name, digest, pinned)| {
            let complete = complete.get(name).copied().unwrap_or(false);
            (name.to_owned(), Found { digest: digest.to_owned(), pinned, complete })
        });
        Ok(Some(Self(images.collect())))
    }

    fn problem(&self, image: &Image) -> Option<String> {
        let source = by_digest(image);
        for name in [&image.name, &source] {
            match self.0.get(name) {
                None => return Some(format!("{name} is not in containerd")),
                Some(found) if found.digest != image.digest.to_string() => {
                    return Some(format!("containerd holds {name} as {}", found.digest));
                }
                Some(found) if !found.complete => return Some(format!("{name} is not complete in containerd")),
                Some(found) if !found.pinned => return Some(format!("{name} is not pinned")),
                Some(_) => {}
            }
        }
        None
    }

    fn check(&self, image: &Image) -> Result<(), StepError> {
        match self.0.get(&image.name) {
            Some(found) if found.digest != image.digest.to_string() => Err(StepError::WrongImage {
                name: image.name.clone(),
                wanted: image.digest.clone(),
                found: found.digest.clone(),
            }),
            _ => self.problem(image).map_or(Ok(()), |because| Err(StepError::NotHeld { because })),
        }
    }
}

/// `REF TYPE DIGEST SIZE UNIT PLATFORMS LABELS`
fn parse_listed(line: &str) -> Option<(&str, &str, bool)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let digest = words.iter().copied().find(|word| word.starts_with("sha256:") || word.starts_with("sha512:"))?;
    let pinned = words.last()?.split(',').any(|label| label == PINNED);
    words.first().filter(|name| **name != digest).map(|name| (*name, digest, pinned))
}

/// `REF TYPE DIGEST complete (n/n) … UNPACKED`
fn parse_check(line: &str) -> Option<(&str, bool)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let unpacked = words.last() == Some(&"true");
    words.first().map(|name| (*name, unpacked && words.contains(&"complete")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_of_ctr_are_understood() {
        let line = "registry.k8s.io/pause:3.10.2 application/vnd.oci.image.index.v1+json sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 314.0 KiB linux/amd64,linux/arm64 io.cri-containerd.image=managed,io.cri-containerd.pinned=pinned ";
        let (name, digest, pinned) = parse_listed(line).unwrap();
        assert_eq!((name, pinned), ("registry.k8s.io/pause:3.10.2", true));
        assert!(digest.starts_with("sha256:e3b0"));
        assert!(!parse_listed(&line.replace("=pinned", "=no")).unwrap().2);
        let check = "registry.k8s.io/pause:3.10.2 application/vnd.oci.image.index.v1+json sha256:e3b0 complete (3/3) 314.0 KiB/314.0 KiB true";
        assert_eq!(parse_check(check), Some(("registry.k8s.io/pause:3.10.2", true)));
        assert_eq!(
            parse_check(&check.replace("complete", "incomplete")),
            Some(("registry.k8s.io/pause:3.10.2", false))
        );
    }
}
