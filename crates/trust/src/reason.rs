//! Reason codes: the stable name of every refusal, with its meaning, cause and remedy.
//!
//! This is the one table from which `sealock explain CODE` and `docs/reference/reason-codes.md` are made.

use std::fmt;

macro_rules! codes {
    ($($variant:ident = $code:literal { meaning: $meaning:literal, cause: $cause:literal, remedy: $remedy:literal })*) => {
        /// The stable name of a refusal.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = $meaning] $variant,)*
        }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The code as it is printed, like `SIG`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// What the refusal says.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }

            /// What usually leads to it.
            pub fn cause(self) -> &'static str {
                match self { $(Self::$variant => $cause,)* }
            }

            /// What to do about it.
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy,)* }
            }
        }
    };
}

codes! {
    Digest = "DIGEST" {
        meaning: "The content does not have the digest it was promised to have.",
        cause: "Damage on the way, a failing disk or medium, or tampering.",
        remedy: "Carry the bundle again, and compare its SHA-256 with the sender's. If it repeats, suspect the medium or the sender."
    }
    Sig = "SIG" {
        meaning: "A signature does not fit the signed content.",
        cause: "The signed part was changed after signing, or was signed with another key than it names.",
        remedy: "Do not use the bundle. Ask the publisher for a fresh copy, and compare the fingerprints of the keys by voice."
    }
    Size = "SIZE" {
        meaning: "The content is longer or shorter than was promised.",
        cause: "A copy that broke off, an upstream that serves something else under the same name, or tampering.",
        remedy: "Carry or fetch it again. If the length stays wrong, ask whoever made the promise to build and sign anew."
    }
    Trailing = "TRAILING" {
        meaning: "The file goes on after the end of the bundle.",
        cause: "Something was appended to the file: by a transfer tool that pads, or to smuggle it in.",
        remedy: "Copy the bundle again with a tool that keeps its exact length. Do not cut the file by hand."
    }
    Held = "HELD" {
        meaning: "The site has gone back to an older release, and takes no newer bundle of this stream until somebody says so.",
        cause: "`sealock release rollback` was run, and `sealock release unhold` was not yet.",
        remedy: "Find out why the site went back. `sealock release show` lists what is held; `sealock release unhold STREAM` lets newer bundles in again."
    }
    InUse = "IN_USE" {
        meaning: "The release is one that a cluster or an application was made from, so its content may be needed at any moment.",
        cause: "A release was to be retired while a cluster still runs from it, and a pod that is started anew could not pull its image.",
        remedy: "Apply a newer release to the cluster first. If the cluster is gone for good, say --yes."
    }
    Incomplete = "INCOMPLETE" {
        meaning: "The file ends before the bundle does.",
        cause: "A copy that broke off, a full medium, or a build that did not finish.",
        remedy: "Carry the file again. An import that was under way goes on where it stopped when the same bundle comes again."
    }
    VolumeSet = "VOLUME_SET" {
        meaning: "Volumes of the bundle are missing, damaged beyond repair, or given twice.",
        cause: "A medium that was left behind or lost, or one that was copied under two names.",
        remedy: "Give every volume once. `sealock verify` names those that are missing or damaged, and says whether `sealock repair` can rebuild them."
    }
    SetMismatch = "SET_MISMATCH" {
        meaning: "A volume belongs to another bundle than the others.",
        cause: "Media of two deliveries were mixed up, or a volume was exchanged.",
        remedy: "Leave that file out, or give the volumes of one bundle only. If nobody can say where it comes from, keep it for whoever looks into it."
    }
    Undeclared = "UNDECLARED" {
        meaning: "The bundle holds something that its signed manifest does not list.",
        cause: "The file was put together or changed by another tool, or something was smuggled in.",
        remedy: "Do not use the bundle. Ask the publisher for the file as `sealock build` wrote it."
    }
    Ambiguous = "AMBIGUOUS" {
        meaning: "The content can be read in two ways, and two readers could disagree on what it says.",
        cause: "A key that occurs twice, or two fields that contradict each other: a faulty writer, or an attempt to show the verifier one thing and the user another.",
        remedy: "Do not use it. Have its author write it again with one value for each name."
    }
    Path = "PATH" {
        meaning: "A name would lead out of its folder, or cannot be told from another name.",
        cause: "An absolute path, `..`, a control character, or two names that differ in case only.",
        remedy: "Do not use the archive. Have its author rename the entry."
    }
    Link = "LINK" {
        meaning: "An archive entry is a link where only files are allowed, or leads out of its folder.",
        cause: "A symbolic or hard link in the archive, made by another tool or meant to write somewhere else.",
        remedy: "Do not use the archive. Have its author pack files instead of links."
    }
    Type = "TYPE" {
        meaning: "Something is not of the type it has to be here.",
        cause: "An archive entry that is a device, a pipe or a folder where only files are allowed, or a media type that does not fit its place.",
        remedy: "Do not use it. Have its author build it again with `sealock build`."
    }
    TypeMismatch = "TYPE_MISMATCH" {
        meaning: "The content is something else than its media type, or its description, says.",
        cause: "A tool that labelled it wrongly, or an attempt to have it scanned as one thing and used as another.",
        remedy: "Do not use it. Outside, ask the upstream to publish it anew, or leave the artifact out; inside, ask the publisher for a bundle without it."
    }
    Limit = "LIMIT" {
        meaning: "The content exceeds a limit that keeps a hostile input from exhausting this machine.",
        cause: "More bytes, entries or nesting than any real input has; or a limit that is too low for yours.",
        remedy: "If the input is what you meant to use, split it into smaller parts. Otherwise suspect its author."
    }
    Conflict = "CONFLICT" {
        meaning: "One name stands for two different digests.",
        cause: "Two streams, or two parts of one bundle, carry the same reference at different contents.",
        remedy: "Decide which content the name is to have, and build the other bundle again without it or under another name."
    }
    Unsigned = "UNSIGNED" {
        meaning: "It carries no signature.",
        cause: "The bundle was built but not yet signed, or an image comes without the upstream signature that its rule demands.",
        remedy: "Sign the bundle with `sealock build --sign`. For an image, correct its `verify` rule, or say in `unsigned:` why it may come without."
    }
    Subject = "SUBJECT" {
        meaning: "A valid signature, but of something else.",
        cause: "A signature or receipt that belongs to another artifact, stream or role was put beside this one.",
        remedy: "Do not use it. Fetch the signature that was made for this digest."
    }
    Identity = "IDENTITY" {
        meaning: "A valid signature, but by somebody else than the rule names.",
        cause: "The upstream changed how it signs, the rule is mistyped, or somebody else signed the artifact.",
        remedy: "Compare the identity that is shown with what the upstream announces. Correct the rule only if they agree."
    }
    TlogBinding = "TLOG_BINDING" {
        meaning: "The transparency log entry that comes with a signature is about something else, or does not prove what it must.",
        cause: "An entry of another artifact or key was put beside the signature, or the entry, its proof or its checkpoint was changed.",
        remedy: "Do not use the artifact. Ask its publisher for a signature whose log entry belongs to it."
    }
    VersionFloor = "VERSION_FLOOR" {
        meaning: "A signature comes in an older format that demands less proof than the one in use.",
        cause: "A very old signing tool, or a version number that was lowered so that a proof can be left out.",
        remedy: "Have the artifact signed again with a present cosign. Do not use it otherwise."
    }
    Threshold = "THRESHOLD" {
        meaning: "Fewer valid signatures by distinct keys than the role demands.",
        cause: "A co-signer has yet to sign, a key is not one of the role's, or one key signed more than once.",
        remedy: "Let the missing keyholders sign, then carry the bundle again. `sealock inspect` shows who has signed."
    }
    Duplicate = "DUPLICATE" {
        meaning: "The key has signed this already, with another signature.",
        cause: "A keyholder signed twice, on two machines or once more after a signature file was lost; or one key stands in a role under two ids.",
        remedy: "Leave the second signature file away: one key counts once. If the keyholder knows of one signature only, treat the key as stolen."
    }
    Alg = "ALG" {
        meaning: "The threshold is missed for a key or signature scheme that this version does not know.",
        cause: "The publisher signs with a newer or a weaker scheme than this Sealock verifies.",
        remedy: "Update Sealock at the site, or have the publisher sign with Ed25519 or ECDSA P-256 keys."
    }
    Scope = "SCOPE" {
        meaning: "A key, root or document was used outside of what it was given authority for.",
        cause: "A stream or an artifact's name that this root was not enrolled for, or a signer outside its delegation.",
        remedy: "Enrol the root for this stream or these names if that is intended. Otherwise ask the publisher to sign with the proper key."
    }
    Cycle = "CYCLE" {
        meaning: "A vendor's role is delegated to twice, or leads back to itself.",
        cause: "Delegations that were put together by hand, or an attempt to keep a verifier busy.",
        remedy: "Do not use the bundle. Have the publisher correct the delegations, so that each role stands in them once."
    }
    Rollback = "ROLLBACK" {
        meaning: "It is older than what was already accepted.",
        cause: "An old bundle was carried by mistake, or replayed to bring back what had been fixed.",
        remedy: "Use the newest bundle of the stream. To serve an older selection again, publish it with `sealock release rollback`."
    }
    Equivocation = "EQUIVOCATION" {
        meaning: "Two different contents were signed under the same sequence or version number.",
        cause: "The publisher built twice without counting up, or the signing keys are being misused.",
        remedy: "Treat it as an incident until the publisher explains it. The publisher then builds again with the next sequence."
    }
    Already = "ALREADY" {
        meaning: "This very bundle was accepted before, so nothing was changed.",
        cause: "It was imported already, here or from another medium.",
        remedy: "Nothing needs to be done. `sealock release list` shows the release that holds it."
    }
    Gap = "GAP" {
        meaning: "The bundle skips sequence numbers of its stream.",
        cause: "A bundle in between has not arrived: still on its way, lost, or held back.",
        remedy: "Import the missing bundles first. If they will never come, accept the gap by naming it: `--accept-gap A-B`."
    }
    Jump = "JUMP" {
        meaning: "The sequence or version number is further ahead than any honest publisher gets.",
        cause: "A mistyped number, or an attempt to make every later bundle look old.",
        remedy: "Ask the publisher. Rotating the publisher's keys in a new root makes lower numbers usable again."
    }
    RootGap = "ROOT_GAP" {
        meaning: "The chain of trust roots has a hole, so the newest root cannot be traced to the enrolled one.",
        cause: "A root in between is missing from the bundle, or the version inside a root is not the one expected.",
        remedy: "Ask the publisher for a bundle that carries every root since the enrolled version."
    }
    RootSig = "ROOT_SIG" {
        meaning: "A new trust root is not signed by enough keys of the root before it and of itself.",
        cause: "The rotation was not completed by all keyholders, or somebody tries to take over the root.",
        remedy: "Do not use it. The publisher must have the new root signed under the old and the new threshold."
    }
    Expired = "EXPIRED" {
        meaning: "Its signed expiry time has passed.",
        cause: "The bundle travelled or lay too long, or the clock of this machine is wrong.",
        remedy: "Check the clock first. Then ask for a freshly signed bundle. An auditor can use `sealock verify --at TIME`."
    }
    Clock = "CLOCK" {
        meaning: "The clock of this machine and the times that others have signed do not go together.",
        cause: "A clock that was never set or runs years ahead, or a bundle that says it was issued in the future.",
        remedy: "Set the clock and try again. If the clock is right although it is far ahead of all that was accepted, say so with `--confirm-clock`."
    }
    Stale = "STALE" {
        meaning: "The bundle is old: its soft expiry passed longer ago than this site lets pass without a word.",
        cause: "A newer bundle was due and has not come, or this one travelled for long.",
        remedy: "Carry the newest bundle of the stream. To take this one all the same, give the reason: `--accept-stale REASON`; it is recorded."
    }
    Revoked = "REVOKED" {
        meaning: "It was revoked: its publisher says that it must not be used any more.",
        cause: "A key was lost or stolen, or something in the bundle turned out to be harmful.",
        remedy: "Use the publisher's newest bundle. `sealock trust show` lists what was revoked, and why; `sealock release show` marks what of it is here."
    }
    RollbackRl = "ROLLBACK_RL" {
        meaning: "The revocation list is older than the one that this site has, or takes something back that only the root may.",
        cause: "An old list was carried by mistake, or replayed to bring back what had been revoked.",
        remedy: "Carry the newest list. What was revoked by mistake is taken back by a list that the root's keys sign."
    }
    StateRegression = "STATE_REGRESSION" {
        meaning: "What the site remembers is older than something it has signed, or was changed behind its back.",
        cause: "The trust folder or the whole machine was restored from a backup or snapshot, or somebody wrote to its files.",
        remedy: "Find out who restored what. `sealock site state` compares; two people let imports go on with `sealock site resolve-state`, and it is recorded."
    }
    Used = "USED" {
        meaning: "The token was used before, and each serves once.",
        cause: "The same file was given twice, or somebody tries what two people allowed only once.",
        remedy: "If it is needed again, have two people of the site sign a new one with `sealock site break-glass`."
    }
    Audience = "AUDIENCE" {
        meaning: "The bundle was made for another site or classification.",
        cause: "The wrong medium was carried here, or this site's id is missing from the bundle spec.",
        remedy: "Import it at the site it names, or have it built again with this site under `audience`."
    }
    BaseMissing = "BASE_MISSING" {
        meaning: "The bundle is a delta, and the site does not hold everything that it builds on.",
        cause: "The delta was made from the receipt of another site, or what it builds on was removed or damaged since that receipt.",
        remedy: "Carry out the want-list that `sealock import --want-list FILE` writes, and build again with `--want FILE`; or build without `--since`, which carries everything."
    }
    Patch = "PATCH" {
        meaning: "A patch does not make the layer that the signed manifest promises.",
        cause: "The publisher's tools made a wrong patch, or somebody who can sign made one on purpose. What the site holds was checked, and is whole.",
        remedy: "Ask the publisher to build again, with another version of Sealock or with `--no-patches`."
    }
    Format = "FORMAT" {
        meaning: "The content is not written in the format that it must have.",
        cause: "A damaged file, another kind of file, or a format of a newer major version.",
        remedy: "Check that this is the right file. If it comes from a newer Sealock, update Sealock here first."
    }
    NotEnrolled = "NOT_ENROLLED" {
        meaning: "No trust root is enrolled for this stream.",
        cause: "The publisher's root has not been enrolled at this site yet, or was enrolled for another stream prefix.",
        remedy: "Enrol it with `sealock trust enroll`, with the fingerprint that the publisher gave you by another way than the file."
    }
    Fingerprint = "FINGERPRINT" {
        meaning: "The file does not have the fingerprint that was given for it.",
        cause: "A mistyped fingerprint, another version of the file, or a file that was exchanged on the way.",
        remedy: "Compare both once more with the owner of the file, by voice or on paper. Do not take the fingerprint from the file itself."
    }
    Spec = "SPEC" {
        meaning: "The spec says something that cannot be understood or carried out.",
        cause: "An unknown field, a wrong type, a missing value or two values that exclude each other.",
        remedy: "Correct the spec at the line and column that are shown. An editor with our JSON Schema points it out while you type."
    }
    Unresolved = "UNRESOLVED" {
        meaning: "Something the spec asks for could not be resolved to a digest.",
        cause: "An image that is computed at run time, something that looks like an image and was not decided on, a tag or chart version that does not exist upstream, or a chart that does not render.",
        remedy: "Look at the place that is shown; correct the reference, accept or refuse the guess under `guesses`, or name the image under `images` yourself."
    }
    UpstreamDigest = "UPSTREAM_DIGEST" {
        meaning: "The upstream served content that does not have the digest or checksum it was asked for.",
        cause: "A tag that moved since the lock was written, a broken mirror or proxy, or tampering upstream.",
        remedy: "Try again, or try another mirror. If the upstream really changed, review the change and run `sealock lock` again."
    }
    StalePlan = "STALE_PLAN" {
        meaning: "The hosts, the spec or the release are no longer what the plan was made for.",
        cause: "Something changed between `plan` and `apply`, by another operator or by hand.",
        remedy: "Run `sealock cluster plan` again, and review what is different."
    }
    Foreign = "FOREIGN" {
        meaning: "The host already holds something that Sealock did not put there and will not overwrite.",
        cause: "An existing Kubernetes installation, container runtime or file from another tool.",
        remedy: "Check that this is the right host. Remove what is there with the tool that put it there, or choose another host."
    }
    HostKey = "HOST_KEY" {
        meaning: "The host shows another SSH key than the one the cluster spec pins.",
        cause: "The host was installed anew, the address belongs to another machine, or somebody is in between.",
        remedy: "Read the host's key at its console, and correct `ssh.hostKey` only if they agree."
    }
    NotInRelease = "NOT_IN_RELEASE" {
        meaning: "An image or artifact is needed that the current release does not hold.",
        cause: "The bundle was built without it, or a chart or manifest names another version than the one that was carried.",
        remedy: "Add it to the bundle spec, then lock, build, carry and import. Nothing was changed in the cluster."
    }
    Leak = "LEAK" {
        meaning: "A probe got out of the site: the gap does not hold.",
        cause: "A route, a proxy, a resolver or a firewall rule lets packets out.",
        remedy: "Close the way that is shown, and run `sealock gap check` again."
    }
    Preflight = "PREFLIGHT" {
        meaning: "The host does not meet what a cluster needs.",
        cause: "Too little memory or disk, swap that is on, a wrong clock, a kernel or cgroup setup that does not fit.",
        remedy: "Correct what is shown on the host. If it is meant to be so, say it under `overrides` in the cluster spec."
    }
    Request = "REQUEST" {
        meaning: "A host asks for a certificate that it may not have, and the request was not written.",
        cause: "The request was changed on the host: somebody who has broken into it wants the certificate of an administrator or of another node.",
        remedy: "Have nothing signed for this host. Find out who was on it, give it back or set it up anew, and ask again."
    }
    Drill = "DRILL" {
        meaning: "A backup did not pass its restore drill: nobody can count on it.",
        cause: "It does not open with the recovery key that was given, what is in it does not fit together, or etcd does not serve from it what has to be there.",
        remedy: "Drill another backup, and find out since when they do not pass. Take a new one while the cluster or station is still there, and drill that."
    }
    Quorum = "QUORUM" {
        meaning: "The change would leave etcd without a majority, or etcd is in no state for it.",
        cause: "Members that are down, a learner that has not finished joining, or the only voter.",
        remedy: "`sealock etcd status` shows each member. Start or replace those that are down first; where the majority is lost for good, restore a snapshot."
    }
    OneWay = "ONE_WAY" {
        meaning: "An upgrade cannot be taken back from here.",
        cause: "It is finished, or all members of etcd run the newer version, and etcd's data is not what the older one starts from.",
        remedy: "Go forward: mend what failed, and upgrade again or to a better patch. Else restore a backup from before, which loses all that was written since."
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The code whose printed form is `text`, whatever its case.
pub fn find(text: &str) -> Option<Code> {
    Code::ALL.iter().copied().find(|code| code.as_str().eq_ignore_ascii_case(text))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_is_unique_and_found_by_its_printed_form() {
        let names: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            assert_eq!(find(&code.as_str().to_lowercase()), Some(*code));
        }
        assert_eq!(find("NO_SUCH_CODE"), None);
    }

    #[test]
    fn every_text_is_one_or_more_whole_sentences() {
        for code in Code::ALL {
            for text in [code.meaning(), code.cause(), code.remedy()] {
                let begins = text.starts_with(|first: char| first.is_uppercase() || first == '`');
                assert!(begins && text.ends_with('.') && text.len() > 20, "{code}: {text}");
            }
        }
    }
}
