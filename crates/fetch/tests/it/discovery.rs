//! Precision and recall of the search for images, on software of many shapes with hand-checked truth.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sealock_bundle::Reference;
use sealock_fetch::discovery::{ChartValues, in_manifests, in_values};
use serde::Deserialize;
use serde_json::Value;

/// What the fixture `NAME.yaml` really uses.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Truth {
    name: String,
    about: String,
    #[serde(default)]
    certain: BTreeSet<Reference>,
    #[serde(default)]
    guesses: BTreeSet<Reference>,
}

/// `NAME.values.yaml`: the chart that `NAME.yaml` was rendered from.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Chart {
    app_version: String,
    values: Value,
    #[serde(default)]
    overrides: Vec<Value>,
    #[serde(default)]
    subcharts: std::collections::BTreeMap<String, Chart>,
}

impl Chart {
    fn values(&self, called: &str) -> ChartValues {
        ChartValues {
            called: vec![called.to_owned()],
            app_version: Some(self.app_version.clone()),
            values: self.values.clone(),
            subcharts: self.subcharts.iter().map(|(name, chart)| chart.values(name)).collect(),
        }
    }
}

/// Right, wrong and missed.
#[derive(Clone, Copy, Default)]
struct Score {
    right: usize,
    wrong: usize,
    missed: usize,
}

impl Score {
    fn of(found: &BTreeSet<Reference>, truth: &BTreeSet<Reference>) -> Self {
        let right = found.intersection(truth).count();
        Self { right, wrong: found.len() - right, missed: truth.len() - right }
    }

    fn add(&mut self, other: Self) {
        self.right += other.right;
        self.wrong += other.wrong;
        self.missed += other.missed;
    }

    fn precision(self) -> f64 {
        share(self.right, self.right + self.wrong)
    }

    fn recall(self) -> f64 {
        share(self.right, self.right + self.missed)
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 100.0 } else { 100.0 * part as f64 / whole as f64 }
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/discovery")
}

fn yaml<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What is found in a fixture, as `lock` would: what is certain needs no guess.
fn search(name: &str) -> (BTreeSet<Reference>, BTreeSet<Reference>) {
    let text = std::fs::read_to_string(folder().join(format!("{name}.yaml"))).unwrap();
    let (certain, guesses) = in_manifests(&text, name).unwrap_or_else(|error| panic!("{error}"));
    let certain: BTreeSet<Reference> = certain.into_iter().collect();
    let mut guesses: BTreeSet<Reference> = guesses.into_iter().map(|guess| guess.image).collect();
    let chart = folder().join(format!("{name}.values.yaml"));
    if chart.exists() {
        let chart: Chart = yaml(&chart);
        guesses.extend(in_values(&chart.values(""), &chart.overrides).into_iter().map(|guess| guess.image));
    }
    let guesses = guesses.difference(&certain).cloned().collect();
    (certain, guesses)
}

#[test]
fn precision_and_recall_are_what_the_reference_page_says() {
    let truths: Vec<Truth> = yaml(&folder().join("truth.yaml"));
    let (mut certain, mut guesses) = (Score::default(), Score::default());
    let mut table = "| set | what is in it | certain | guesses |\n|---|---|---|---|\n".to_owned();
    let mut wrong = String::new();
    for truth in &truths {
        let found = search(&truth.name);
        let scores = [Score::of(&found.0, &truth.certain), Score::of(&found.1, &truth.guesses)];
        certain.add(scores[0]);
        guesses.add(scores[1]);
        let [first, second] = scores.map(|score| match (score.right, score.wrong, score.missed) {
            (0, 0, 0) => "–".to_owned(),
            (right, 0, 0) => format!("{right}"),
            (right, wrong, missed) => format!("{right}, {wrong} wrong, {missed} missed"),
        });
        let _ = writeln!(table, "| {} | {} | {first} | {second} |", truth.name, truth.about);
        for (found, truth) in [(&found.0, &truth.certain), (&found.1, &truth.guesses)] {
            found.difference(truth).for_each(|image| wrong.push_str(&format!("- wrong: `{image}`\n")));
            truth.difference(found).for_each(|image| wrong.push_str(&format!("- missed: `{image}`\n")));
        }
    }
    let line = |what: &str, score: Score| {
        let Score { right, wrong, missed } = score;
        let (precision, recall) = (score.precision(), score.recall());
        format!("| {what} | {right} | {wrong} | {missed} | {precision:.1} % | {recall:.1} % |\n")
    };
    let sums = format!(
        "{} sets.\n\n| findings | right | wrong | missed | precision | recall |\n|---|---|---|---|---|---|\n{}{}\n{wrong}\n{table}",
        truths.len(),
        line("certain", certain),
        line("guesses", guesses),
    );
    println!("{sums}");
    std::fs::write(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("image-discovery.md"), &sums).unwrap();
    assert!(truths.len() >= 30, "{} sets", truths.len());
    assert_eq!((certain.wrong, certain.missed), (0, 0), "what is certain is neither wrong nor missed\n{sums}");
    let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/image-discovery.md");
    let page = std::fs::read_to_string(page).unwrap_or_default();
    assert!(page.contains(&sums), "docs/reference/image-discovery.md has other figures than these:\n\n{sums}");
}

#[test]
fn every_fixture_has_its_truth() {
    let truths: Vec<Truth> = yaml(&folder().join("truth.yaml"));
    let told: BTreeSet<String> = truths.into_iter().map(|truth| truth.name).collect();
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let there: BTreeSet<String> = files
        .filter(|name| name != "truth.yaml" && !name.ends_with(".values.yaml"))
        .map(|name| name.trim_end_matches(".yaml").to_owned())
        .collect();
    assert_eq!(told, there);
}

#[test]
fn the_manifests_of_the_end_to_end_scenario_leave_nothing_to_decide() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../e2e/across-the-gap/manifests");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let (certain, guesses) = in_manifests(&std::fs::read_to_string(&path).unwrap(), "e2e").unwrap();
        let open: Vec<_> = guesses.iter().filter(|guess| !certain.contains(&guess.image)).collect();
        assert!(open.is_empty(), "{}: {open:?}", path.display());
    }
}
