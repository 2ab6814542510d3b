use super::*;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "only what refuses to be read matters here")]
struct Site {
    api_version: ApiVersion,
    kind: String,
    spec: Spec,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "only what refuses to be read matters here")]
struct Spec {
    registry: String,
    replicas: Option<u8>,
    #[serde(default)]
    enabled: bool,
}

impl Document for Site {
    const KIND: &'static str = "Site";
}

const GOOD: &str = "apiVersion: sealock/v1alpha1\nkind: Site\nspec:\n  registry: r.example\n";

fn error(text: &str) -> String {
    load_document::<Site>(Path::new("site.yaml"), text).unwrap_err().to_string()
}

#[test]
fn other_kinds_in_the_same_file_are_passed_over_and_lines_keep_their_numbers() {
    let cluster = "# a comment\n---\napiVersion: sealock/v1alpha1\nkind: Cluster\nspec: {any: 1}\n";
    let text = format!("{cluster}---\n{GOOD}...\n---\n# nothing\n");
    assert_eq!(load_documents::<Site>(Path::new("x"), &text).unwrap().len(), 1);
    let text = format!("{cluster}---\n{GOOD}  registri: x\n");
    assert!(error(&text).starts_with("site.yaml:11:3: unknown field"), "{}", error(&text));
}

#[test]
fn errors_say_where_what_and_what_was_meant() {
    insta::assert_snapshot!(error(&GOOD.replace("registry", "regsitry")), @r#"site.yaml:4:3: unknown field "regsitry", did you mean "registry"?"#);
    insta::assert_snapshot!(error(&GOOD.replace("Site", "Siet")), @r#"site.yaml:2:7: unknown kind "Siet", did you mean "Site"?"#);
    insta::assert_snapshot!(error(&GOOD.replace("v1alpha1", "v2")), @r#"site.yaml:1:13: unknown apiVersion "sealock/v2", did you mean "sealock/v1alpha1"?"#);
    insta::assert_snapshot!(error(&format!("{GOOD}  replicas: many\n")), @"site.yaml:5:13: this is no u8");
    insta::assert_snapshot!(error(&format!("{GOOD}  replicas: [1]\n")), @"site.yaml:5:13: expected a single value");
    insta::assert_snapshot!(error(&format!("{GOOD}  enabled: yes\n")), @"site.yaml:5:12: invalid boolean (strict mode expects true/false)");
    insta::assert_snapshot!(error(&format!("{GOOD}  registry: again\n")), @r#"site.yaml:5:3: the key "registry" stands twice"#);
    insta::assert_snapshot!(error("apiVersion: sealock/v1alpha1\nkind: Site\nspec: {}\n"), @r#"site.yaml:3:7: the field "registry" is missing"#);
    insta::assert_snapshot!(error("kind: Site\n"), @r#"site.yaml:1:1: the field "apiVersion" is missing"#);
    insta::assert_snapshot!(error("apiVersion: sealock/v1alpha1\nkind: Site\nspec: {a: [}\n"), @"site.yaml:3:11: mismatched bracket '[' closed by '}'");
    insta::assert_snapshot!(error(&format!("{GOOD}---\n{GOOD}")), @"site.yaml: there are 2 documents of kind Site, and one is wanted");
    insta::assert_snapshot!(error("a: 1\n"), @r#"site.yaml:1:1: the field "apiVersion" is missing"#);
    insta::assert_snapshot!(error("# nothing\n"), @"site.yaml: there is no document of kind Site");
}

#[test]
fn bombs_are_refused() {
    let mut bomb = String::from("apiVersion: sealock/v1alpha1\nkind: Site\na: &a [x,x,x,x,x,x,x,x,x]\n");
    for (name, previous) in ('b'..='k').zip('a'..='j') {
        let aliases = vec![format!("*{previous}"); 9].join(",");
        bomb.push_str(&format!("{name}: &{name} [{aliases}]\n"));
    }
    assert!(load_documents::<Site>(Path::new("x"), &bomb).is_err());
    let deep = format!("apiVersion: sealock/v1alpha1\nkind: Site\nspec: {}", "[".repeat(100_000));
    assert!(load_documents::<Site>(Path::new("x"), &deep).is_err());
    assert!(load_documents::<Site>(Path::new("x"), &" ".repeat(MAX_BYTES + 1)).is_err());
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(?s)(---|\\.\\.\\.|apiVersion: sealock/v1alpha1|kind: Site|[ \n:\\[\\]{}&*!|>'\"a-z-]){0,40}") {
        drop(load_documents::<Site>(Path::new("x"), &text));
    }
}
