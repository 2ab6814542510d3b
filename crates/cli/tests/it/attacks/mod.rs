//! The attacks of research and threat model, each through the real binary: a reason code, exit code 3, and a site that is byte
//! for byte what it was. `make attacks` prints the table.

mod archive;
mod content;
mod forge;
mod order;
mod scene;
mod signatures;
mod vendors;

use scene::{Scene, Station};

/// One attack.
struct Attack {
    /// Its number in the list of the threat model (docs/concepts/threat-model.md).
    number: u8,
    /// What the attacker does.
    name: &'static str,
    /// What the site must say.
    expected: Expected,
    /// Sets the scene, and answers the file that is imported.
    make: fn(&Scene) -> Vec<u8>,
}

/// What the site must say.
#[derive(Clone, Copy)]
enum Expected {
    /// Exit code 3 with this reason code, and nothing changed.
    Refused(&'static str),
    /// The same, but a newer root that is valid by itself is kept (DESIGN §6, State), in the sealed state.
    RefusedKeepingRoots(&'static str),
    /// Exit code 0, and nothing changed: there is nothing to do.
    NoEffect,
    /// Exit code 0: it is no attack, but looks like one.
    Accepted,
}

impl Expected {
    fn code(self) -> &'static str {
        match self {
            Self::Refused(code) | Self::RefusedKeepingRoots(code) => code,
            Self::NoEffect => "ALREADY",
            Self::Accepted => "-",
        }
    }
}

fn table() -> Vec<&'static Attack> {
    let mut attacks: Vec<_> =
        [archive::ATTACKS, content::ATTACKS, signatures::ATTACKS, vendors::ATTACKS, order::ATTACKS]
            .into_iter()
            .flatten()
            .collect();
    attacks.sort_by_key(|attack| attack.number);
    attacks
}

#[test]
fn every_attack_has_its_reason_code_and_leaves_the_site_as_it_was() {
    let station = Station::new();
    let mut table =
        String::from("nr  attack                                                        code           exit  state\n");
    let mut failures = Vec::new();
    for attack in self::table() {
        let scene = station.scene();
        let bundle = (attack.make)(&scene);
        let verdict = scene.import(&bundle);
        let state = if verdict.changed.is_empty() { "unchanged" } else { "changed" };
        table.push_str(&format!(
            "{:>2}  {:<60}  {:<13}  {:>4}  {state}\n",
            attack.number, attack.name, verdict.code, verdict.exit
        ));
        if !verdict.fits(attack.expected) {
            failures.push(format!(
                "{} {}: expected {}\n{}",
                attack.number,
                attack.name,
                attack.expected.code(),
                verdict.seen
            ));
        }
    }
    println!("{table}");
    assert!(failures.is_empty(), "{table}\n{}", failures.join("\n"));
}
