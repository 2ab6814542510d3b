//! The attacks of research and threat model, each through the real binary: a reason code, exit code 3, and a site that is byte
//! for byte what it was. `make attacks` prints the table.

mod archive;
mod content;
mod forge;
mod memory;
mod order;
mod patched;
mod pieces;
mod restored;
mod revoked;
mod scene;
mod signatures;
mod upstream;
mod vendors;

use scene::{Scene, Station, Verdict};

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

/// An attack that is more than a file to import.
struct Attempt {
    /// Its number in the list of the threat model (docs/concepts/threat-model.md).
    number: u8,
    /// What the attacker does.
    name: &'static str,
    /// What must be said.
    expected: Expected,
    /// Sets the scene, runs the command, and answers what it said.
    run: fn(&Scene) -> Verdict,
}

/// What the site must say.
#[derive(Clone, Copy)]
enum Expected {
    /// Exit code 3 with this reason code, and nothing changed.
    Refused(&'static str),
    /// The same, but a newer root that is valid by itself is kept (DESIGN §6, State), in the sealed state.
    RefusedKeepingRoots(&'static str),
    /// The same, but imports are frozen until a person has looked.
    RefusedAndFrozen(&'static str),
    /// The same for a revocation list, which has to be kept.
    RefusedKeepingList(&'static str),
    /// Exit code 0, and nothing changed: there is nothing to do.
    NoEffect,
    /// Exit code 0: it is no attack, but looks like one.
    Accepted,
}

impl Expected {
    fn code(self) -> &'static str {
        match self {
            Self::Refused(code)
            | Self::RefusedKeepingRoots(code)
            | Self::RefusedKeepingList(code)
            | Self::RefusedAndFrozen(code) => code,
            Self::NoEffect => "ALREADY",
            Self::Accepted => "-",
        }
    }
}

/// An attack of either kind.
struct Row {
    number: u8,
    name: &'static str,
    expected: Expected,
    run: Box<dyn Fn(&Scene) -> Verdict>,
}

fn table() -> Vec<Row> {
    let files = [
        archive::ATTACKS,
        content::ATTACKS,
        order::ATTACKS,
        patched::ATTACKS,
        restored::ATTACKS,
        revoked::ATTACKS,
        signatures::ATTACKS,
        vendors::ATTACKS,
    ];
    let files = files.into_iter().flatten().map(|&Attack { number, name, expected, make }| {
        let run = move |scene: &Scene| scene.import(&make(scene));
        Row { number, name, expected, run: Box::new(run) }
    });
    let others = [pieces::ATTEMPTS, memory::ATTEMPTS, upstream::ATTEMPTS].into_iter().flatten();
    let others =
        others.map(|&Attempt { number, name, expected, run }| Row { number, name, expected, run: Box::new(run) });
    let mut rows: Vec<Row> = files.chain(others).collect();
    rows.sort_by_key(|row| row.number);
    rows
}

#[test]
fn every_attack_has_its_reason_code_and_leaves_the_site_as_it_was() {
    let station = Station::new();
    let mut table = String::from(
        "nr  attack                                                        code              exit  state\n",
    );
    let mut failures = Vec::new();
    for attack in self::table() {
        let scene = station.scene();
        let verdict = (attack.run)(&scene);
        let state = if verdict.changed.is_empty() { "unchanged" } else { "changed" };
        table.push_str(&format!(
            "{:>2}  {:<60}  {:<16}  {:>4}  {state}\n",
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
